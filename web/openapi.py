"""The API as an OpenAPI 3.1 document, made of the paths that are served and what is said of each.

https://spec.openapis.org/oas/v3.1.1.html"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from starlette.routing import Route

from web.answer import Answer, in_json
from web.call import Call
from web.contract import CONTRACT, PATH_PARAMETERS
from web.described import JSON, Described, Parameter, Refusals, Said, Schema
from web.schemas import SCHEMAS, ref
from web.settings import WebSettings

PATH = "/openapi.json"
VERSION = "1"
"""Of the API, not of the program: another one would break who calls."""
OF_TOKEN: Refusals = {401: ("Unauthorized",), 503: ("Unavailable",)}
OF_BODY: Refusals = {400: ("InvalidInput",), 408: ("Timeout",), 413: ("TooLarge",)}
OF_PATH: Refusals = {404: ("NotFound",)}
OF_ALL: Refusals = {500: ("Internal",)}

CALLERS = {
    "agent": "The token of an agent: 20 characters.",
    "account": "The token of an account: ska_…",
    "system": "The token of an upstream system: sks_…",
    "metrics": "The token of the setting [metrics]; without one, callers on the same machine.",
}


class OpenApi:
    """Written when it is first asked for, as it is the same from then on."""

    def __init__(self, routes: Iterable[Route], settings: WebSettings) -> None:
        self._calls = [*calls(routes), ("GET", PATH)]
        self._settings = settings

    async def read(self, call: Call) -> Answer:
        return self._written

    @cached_property
    def _written(self) -> Answer:
        return in_json(200, document(self._calls, self._settings))


def document(served: Iterable[tuple[str, str]], settings: WebSettings) -> dict[str, Any]:
    """Of these methods and paths, those that the contract tells of."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path in served:
        if described := CONTRACT.get(f"{method} {path}"):
            made = operation(method, path, described, settings)
            paths.setdefault(path, {})[method.lower()] = made
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Skadi",
            "version": VERSION,
            "description": "Jobs for agents on servers, submitted by programs.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": security_schemes()},
    }


def calls(routes: Iterable[Route]) -> list[tuple[str, str]]:
    """Methods and paths; HEAD comes with every GET and is not told of."""
    return [
        (method, route.path)
        for route in routes
        for method in sorted(route.methods or ())
        if method != "HEAD"
    ]


def security_schemes() -> dict[str, Schema]:
    return {
        caller: {"type": "http", "scheme": "bearer", "description": about}
        for caller, about in CALLERS.items()
    }


def operation(
    method: str, path: str, described: Described, settings: WebSettings
) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", path)
    made: dict[str, Any] = {
        "operationId": operation_id(method, path),
        "summary": described.summary,
        "tags": [path.split("/")[1].partition(".")[0]],
        "security": [{caller: []} for caller in described.callers],
        "parameters": [
            *(path_parameter(name) for name in names),
            *(parameter(each, settings) for each in described.parameters),
        ],
        "responses": answers(described, path),
    }
    if described.body is not None:
        made["requestBody"] = {"content": {JSON: {"schema": described.body}}, "required": False}
    if described.replaced:
        made["deprecated"] = True
    return made


def operation_id(method: str, path: str) -> str:
    words = re.findall(r"\w+", f"{method} {path}")
    return "_".join(word.lower() for word in words)


def path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": PATH_PARAMETERS[name]}


def parameter(described: Parameter, settings: WebSettings) -> dict[str, Any]:
    schema = dict(described.schema)
    if described.bound:
        schema["maximum"] = getattr(settings, described.bound)
    return {
        "name": described.name,
        "in": described.place,
        "description": described.about,
        "required": False,
        "schema": schema,
    }


def answers(described: Described, path: str) -> dict[str, Any]:
    good = {status: answer(said) for status, said in described.answers.items()}
    bad = {
        status: refusal(keys)
        for status, keys in refusals(described, path).items()
        if status not in good
    }
    return {str(status): each for status, each in sorted((good | bad).items())}


def refusals(described: Described, path: str) -> Mapping[int, tuple[str, ...]]:
    """What a path is said to refuse, and what goes without saying."""
    kinds = [described.refused, OF_ALL]
    kinds += [OF_TOKEN] if described.callers else []
    kinds += [OF_BODY] if described.body is not None and not described.takes_all else []
    kinds += [OF_PATH] if "{" in path else []
    keys: dict[int, set[str]] = {}
    for kind in kinds:
        for status, some in kind.items():
            keys.setdefault(status, set()).update(some)
    return {status: tuple(sorted(some)) for status, some in keys.items()}


def answer(said: Said) -> dict[str, Any]:
    made: dict[str, Any] = {"description": said.about}
    if said.schema is not None:
        made["content"] = {said.media: {"schema": said.schema}}
    if said.headers:
        made["headers"] = {
            name: {"required": True, "schema": schema} for name, schema in said.headers.items()
        }
    return made


def refusal(keys: tuple[str, ...]) -> dict[str, Any]:
    schema = {"allOf": [ref("Refusal"), {"properties": {"error": {"enum": list(keys)}}}]}
    made: dict[str, Any] = {
        "description": ", ".join(keys),
        "content": {JSON: {"schema": schema}},
    }
    if "Unauthorized" in keys:
        made["headers"] = {"www-authenticate": {"required": True, "schema": {"const": "Bearer"}}}
    return made
