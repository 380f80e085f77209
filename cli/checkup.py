"""The commands about the whole: what is configured, what is missing, what to do; and `migrate`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import timedelta
from typing import Any, get_type_hints

from cli.checks import check_broker, check_clocks, check_database, check_web
from cli.desk import Answer, Json, program, refusal, say
from cli.folder import check_folder
from core.durations import spell_period
from core.errors import SettingsError, SkadiError
from core.settings import Secret, Settings
from core.settings.finding import Finding
from core.settings.values import KIB, MIB, Size

MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def check(json: Json = False) -> None:
    """What is in use, what is missing, what to do about it."""
    try:
        settings = program.get().settings()
    except SettingsError as error:
        say(refusal("Settings", str(error)), json)
    else:
        say(asyncio.run(report(settings)), json)


def migrate(json: Json = False) -> None:
    """Bring the tables of the database up to date."""
    say(asyncio.run(migrated()), json)


async def migrated() -> Answer:
    try:
        skadi = program.get()
        settings = skadi.settings()
        await skadi.migrate(settings)
    except (SkadiError, SettingsError) as error:
        return refusal(getattr(error, "code", "Settings"), str(error))
    return Answer({"migrated": True}, "The tables are up to date.")


async def report(settings: Settings) -> Answer:
    findings = await examine(settings)
    failed = any(finding.level == "fail" for finding in findings)
    rows = dict(shown(settings))
    changed = {name for name, value in shown_defaults(settings) if rows.get(name, value) != value}
    lines = [*setting_lines(rows, changed), "", *map(finding_line, findings)]
    text = "\n".join(lines)
    return Answer({"settings": rows, "findings": findings}, text, failed)


async def examine(settings: Settings) -> list[Finding]:
    clocks: dict[str, float] = {}
    findings = [*check_folder(settings)]
    findings += [each async for each in check_database(settings, clocks)]
    findings += [each async for each in check_broker(settings, clocks)]
    findings += check_clocks(clocks)
    findings += await asyncio.to_thread(lambda: [*check_web(settings), *check_adapters(settings)])
    return findings


def check_adapters(settings: Settings) -> Iterator[Finding]:
    # Adapters bring their libraries along, which other commands need not load.
    from cli.platforms import check_section

    if not settings.adapters:
        todo = "Add a section [adapters.<name>] to settings.toml."
        yield Finding("warn", "adapters", "No place to talk is configured, only HTTP.", todo)
    for name in settings.adapters:
        yield from check_section(name, settings)


# What is in use.


def shown(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each setting by its full name; secrets do not show themselves."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            yield from shown_section(field.name, value)
        elif field.name != "adapters":
            yield field.name, spell_setting(value)
    for name in settings.adapters:
        yield from shown_adapter(name, settings)


def shown_defaults(settings: Settings) -> Iterator[tuple[str, str]]:
    """The same, had nobody set anything."""
    from cli.platforms import read_section

    yield from shown(Settings(data=settings.data))
    for name in settings.adapters:
        try:
            platform, _ = read_section(name, settings)
            yield from shown_section(f"adapters.{name}", platform.Options())
        except (SettingsError, TypeError):  # TypeError: something must be set
            continue


def shown_section(name: str, section: Any) -> Iterator[tuple[str, str]]:
    for key, kind in get_type_hints(type(section), include_extras=True).items():
        value = getattr(section, key)
        yield f"{name}.{key}", spell_size(value) if kind is Size else spell_setting(value)


def shown_adapter(name: str, settings: Settings) -> Iterator[tuple[str, str]]:
    from cli.platforms import kind_of, read_section

    try:
        _, options = read_section(name, settings)
    except SettingsError:
        return
    yield f"adapters.{name}.kind", kind_of(name, settings)
    yield from shown_section(f"adapters.{name}", options)


def spell_setting(value: object) -> str:
    match value:
        case Secret():
            return "(set)" if value else "(empty)"
        case None:
            return "for ever"
        case timedelta():
            return spell_period(value)
        case bool():
            return "true" if value else "false"
        case tuple():
            return ", ".join(value) or "(empty)"
        case "":
            return "(empty)"
    return str(value)


def spell_size(size: int) -> str:
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def setting_lines(rows: dict[str, str], changed: set[str]) -> list[str]:
    """What was changed bears a star."""
    width = max(map(len, rows))
    return [
        f"{'*' if name in changed else ' '} {name.ljust(width)}  {value}"
        for name, value in rows.items()
    ]


def finding_line(finding: Finding) -> str:
    line = f"{MARKS[finding.level]}  {finding.about}: {finding.message}"
    return f"{line}\n      → {finding.todo}" if finding.todo else line
