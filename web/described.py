"""How a route is described: who may call it, with what, and all that it can answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Schema = Mapping[str, Any]
"""A JSON Schema (draft 2020-12), as OpenAPI 3.1 has it."""
Caller = Literal["agent", "account", "system", "metrics"]
"""Whose token a path takes."""
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Parameter:
    """`bound`: the field of WebSettings that says how much may be asked for."""

    name: str
    about: str
    schema: Schema
    place: Literal["query", "header"] = "query"
    bound: Literal["", "longest_wait", "longest_follow"] = ""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer; `schema` None: without a body. `headers`: those that a program may rely on."""

    about: str
    schema: Schema | None = None
    media: str = JSON
    headers: Mapping[str, Schema] = field(default_factory=dict)


Answers = Mapping[int, Said]
Refusals = Mapping[int, tuple[str, ...]]
"""Keys of refusals by the status they come with."""


@dataclass(frozen=True, slots=True)
class Described:
    """`callers` empty: no token is needed. `body` None: nothing is read. `refused` leaves out what the
    others imply: tokens are unknown, bodies too large."""

    summary: str
    answers: Answers
    callers: tuple[Caller, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: Schema | None = None
    refused: Refusals = field(default_factory=dict)
    takes_all: bool = False
    """A body is never too large nor too late."""
    replaced: bool = False
    """An older spelling of another path."""
