"""The sections of adapters, as far as the commands ask them anything; none is known by its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from adapters import Platform, find_module, read_options
from core.chat import Mailbox, Secrets
from core.errors import SettingsError
from core.model import utc_now
from core.notebook import Notes
from core.settings import Settings
from core.settings.finding import Finding
from core.store import Store


def kind_of(name: str, settings: Settings) -> str:
    return str(settings.adapters[name].get("kind", name))


def read_section(name: str, settings: Settings) -> tuple[Platform, Any]:
    """The platform of a section, and what it makes of it. Raises SettingsError."""
    platform = find_module(name, kind_of(name, settings))
    return platform, read_options(platform.Options, name, settings.adapters[name])


def check_section(name: str, settings: Settings) -> Iterator[Finding]:
    try:
        platform, options = read_section(name, settings)
        yield from platform.check(name, options, settings.data)
    except SettingsError as error:
        yield Finding("fail", name, str(error))


def find_mailbox(settings: Settings) -> Mailbox | None:
    """That of the first section that has one."""
    for name in settings.adapters:
        platform, options = read_section(name, settings)
        if make := getattr(platform, "mailbox", None):
            found: Mailbox = make(name, options, settings.data)
            return found
    return None


def find_secrets(settings: Settings, store: Store) -> Secrets | None:
    """Those of the first section that signs by some."""
    for name in settings.adapters:
        platform, _ = read_section(name, settings)
        if make := getattr(platform, "secrets", None):
            found: Secrets = make(Notes(store, name), utc_now)
            return found
    return None
