"""How a platform is reached: one module a platform, found by the name in its settings section."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Protocol, cast, get_type_hints

from core import chat
from core.errors import SettingsError
from core.settings import unknown
from core.settings.finding import Finding
from core.settings.values import Given, Raw, convert


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an adapter is given of the house it lives in. `data` is a folder for local files; `remark`
    puts a matter of the adapter's own (`brake`) into words, in a language."""

    inbox: chat.Inbox
    notebook: chat.Notebook
    keyring: chat.Keyring
    clock: Callable[[], datetime]
    data: Path
    remark: Callable[[str, str], str]


class Platform(Protocol):
    """What a module of this folder has."""

    Options: type
    """A frozen dataclass of its settings."""

    def make(self, name: str, options: Any, around: Surroundings) -> chat.Adapter:
        """Raises SettingsError."""

    def check(self, name: str, options: Any, data: Path) -> Iterator[Finding]:
        """What is well and what is not, asked before a start or beside a running one.

        Raises SettingsError for what stops the start."""

    def read_subject(self, text: str) -> str | None:
        """What an operator calls a person there, as messages will name the sender; None: nobody."""

    # One that takes commands from who holds a secret has, besides, `mailbox(name, options, data)`,
    # which returns a chat.Mailbox; one that signs what it says, `secrets(notebook, clock)`, which
    # returns chat.Secrets.


def load(name: str, section: Mapping[str, object], around: Surroundings) -> chat.Adapter:
    """The adapter that `[adapters.<name>]` asks for; `kind` says which module, else the name does.

    Raises SettingsError."""
    platform = find_module(name, section.get("kind", name))
    options = read_options(platform.Options, name, section)
    return platform.make(name, options, around)


def find_module(name: str, kind: object) -> Platform:
    kinds = sorted(module.name for module in iter_modules(__path__))
    if kind not in kinds or not re.fullmatch("[a-z][a-z0-9_]*", str(kind)):
        raise SettingsError(unknown(f"[adapters.{name}]", "platform", str(kind), kinds))
    return cast(Platform, import_module(f"{__name__}.{kind}"))


def read_options(kind: type, name: str, section: Mapping[str, object]) -> Any:
    """A section's values as the dataclass `kind` wants them; what it does not know is refused,
    by where it was written."""
    kinds = get_type_hints(kind, include_extras=True)
    origins = section.origins if isinstance(section, Raw) else {}
    given = {
        key: Given(value, origins.get(key, f"[adapters.{name}] {key}"))
        for key, value in section.items()
        if key != "kind"
    }
    for key, value in given.items():
        if key not in kinds:
            raise SettingsError(unknown(value.origin, "setting", key, kinds))
    return kind(**{key: convert(kinds[key], value) for key, value in given.items()})
