"""Where settings are written: a TOML file, the environment, files the environment names."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.errors import SettingsError
from core.settings.values import Given

PREFIX = "SKADI_"
FILE_VARIABLE = "SKADI_SETTINGS"
NOT_OURS = frozenset(
    {FILE_VARIABLE, "SKADI_SERVER", "SKADI_TOKEN", "SKADI_TOKEN_FILE", "SKADI_URL"}
)
"""The next three are for an agent, which may live on the same machine, the last is for `app.py submit`."""

Section = tuple[str, ...]
"""() is the top of the file, ("web",) is [web], ("adapters", "smtp") is [adapters.smtp]."""
Tree = dict[Section, dict[str, Given]]


def read_all(folder: Path, environment: Mapping[str, str]) -> Tree:
    """What was given for the program that lives in `folder`; the environment has the last word."""
    chosen = environment.get(FILE_VARIABLE)
    file = folder / (chosen or "settings.toml")
    tree = read_file(file) if chosen or file.exists() else {}
    for section, key, given in read_environment(environment):
        tree.setdefault(section, {})[key] = given
    return tree


def read_file(file: Path) -> Tree:
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise SettingsError(f"{file} is not TOML: {error}.") from error
    tree: Tree = {}
    for section, table in tables(content, file.name):
        place = f"{file.name}: [{'.'.join(section)}] " if section else f"{file.name}: "
        tree[section] = {key: Given(value, place + key) for key, value in table.items()}
    return tree


def tables(content: Mapping[str, Any], file: str) -> Iterator[tuple[Section, Mapping[str, Any]]]:
    yield (), {key: value for key, value in content.items() if not isinstance(value, dict)}
    for name, table in content.items():
        if name == "adapters":
            yield from adapter_tables(table, file)
        elif isinstance(table, dict):
            yield (name,), table


def adapter_tables(content: Any, file: str) -> Iterator[tuple[Section, Mapping[str, Any]]]:
    named = content if isinstance(content, dict) else {"smtp": content}
    for name, table in named.items():
        if not isinstance(table, dict):
            raise SettingsError(
                f"{file}: below [adapters] are sections only, as [adapters.{name}]."
            )
        yield ("adapters", name), table


def read_environment(environment: Mapping[str, str]) -> Iterator[tuple[Section, str, Given]]:
    for variable, value in sorted(environment.items()):
        if variable.startswith(PREFIX) and variable not in NOT_OURS:
            *section, key = variable.removeprefix(PREFIX).lower().split("__")
            if key.endswith("_file"):
                value = read_value(variable, environment)
            yield tuple(section), key.removesuffix("_file"), Given(value, variable)


def read_value(variable: str, environment: Mapping[str, str]) -> str:
    """What the file holds that this variable names; passwords need not stand in an environment."""
    if variable.removesuffix("_FILE") in environment:
        raise SettingsError(
            f"{variable} and {variable.removesuffix('_FILE')} are both set; unset one."
        )
    try:
        return Path(environment[variable]).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}: {environment[variable]} cannot be read.") from error
