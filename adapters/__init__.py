"""How a platform is reached: one module a platform, found by the name in its settings section."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, cast, get_type_hints

from core import chat
from core.errors import SettingsError
from core.settings import unknown
from core.settings.values import Given, convert


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an adapter is given of the house it lives in. `data` is a folder for local files."""

    inbox: chat.Inbox
    notebook: chat.Notebook
    keyring: chat.Keyring
    clock: Callable[[], datetime]
    data: Path


def load(name: str, section: Mapping[str, object], around: Surroundings) -> chat.Adapter:
    """The adapter that `[adapters.<name>]` asks for; `kind` says which module, else the name does.

    A module has `Options`, a frozen dataclass of its settings, and `make(name, options, around)`.
    Raises SettingsError."""
    settings = dict(section)
    module = find_module(name, settings.pop("kind", name))
    options = read_options(module.Options, name, settings)
    return cast(chat.Adapter, module.make(name, options, around))


def find_module(name: str, kind: object) -> Any:
    kinds = sorted(module.name for module in iter_modules(__path__))
    if kind not in kinds or not re.fullmatch("[a-z][a-z0-9_]*", str(kind)):
        raise SettingsError(unknown(f"[adapters.{name}]", "platform", str(kind), kinds))
    return import_module(f"{__name__}.{kind}")


def read_options(kind: type, name: str, section: Mapping[str, object]) -> Any:
    """A section's values as the dataclass `kind` wants them; what it does not know is refused."""
    kinds = get_type_hints(kind, include_extras=True)
    for key in section:
        if key not in kinds:
            raise SettingsError(unknown(f"[adapters.{name}]", "setting", key, kinds))
    return kind(
        **{
            key: convert(kinds[key], Given(value, f"[adapters.{name}] {key}"))
            for key, value in section.items()
        }
    )
