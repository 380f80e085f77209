"""The kinds of values a setting has, and how each is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, get_args

from core.durations import parse_period
from core.errors import SettingsError


class Secret(str):
    """A value that is used like any text and never shows itself in a log or a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'" if self else "''"


NOTHING = Secret()

Port = Annotated[int, "where a socket listens: 1 to 65535"]
PortOrOff = Annotated[int, "a port, or 0: nothing listens"]
Size = Annotated[int, "bytes, written `1 MiB`"]
Age = Annotated[timedelta | None, 'how long something is kept; None, written "": for ever']
PublicUrl = Annotated[str, "an address that others type: https://host[:port][/path]"]
Names = tuple[str, ...]
"""A list of words; in the environment they are separated by commas."""

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Given:
    """A value as somebody wrote it, and where."""

    value: Any
    origin: str


class Raw(dict[str, Any]):
    """The values of a section that somebody else understands, and where each was written."""

    def __init__(self, section: Mapping[str, Given]) -> None:
        super().__init__({key: given.value for key, given in section.items()})
        self.origins = {key: given.origin for key, given in section.items()}


def convert(kind: Any, given: Given) -> Any:
    """The value of a setting of this kind. Raises SettingsError, which says how it is written."""
    read = READERS.get(kind) or one_of(get_args(kind))
    try:
        return read(given.value)
    except ValueError as error:
        shown = "" if kind is Secret else f", not {given.value!r}"
        raise SettingsError(f"{given.origin} is {error}{shown}.") from error


def read_text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("a text in quotes")


def read_secret(value: object) -> Secret:
    return Secret(read_text(value))


def read_path(value: object) -> Path:
    return Path(read_text(value))


def read_bool(value: object) -> bool:
    answer = {"true": True, "false": False}.get(str(value).lower())
    if answer is None:
        raise ValueError("true or false")
    return answer


def read_number(value: object) -> int:
    if not re.fullmatch(r"[1-9]\d{0,8}", str(value)):
        raise ValueError("a whole number from 1")
    return int(str(value))


def read_port(value: object) -> int:
    if not re.fullmatch(r"[1-9]\d{0,4}", str(value)) or int(str(value)) > 65535:
        raise ValueError("a port, 1 to 65535")
    return int(str(value))


def read_port_or_off(value: object) -> int:
    return 0 if str(value) == "0" else read_port(value)


def read_url(value: object) -> str:
    """Of characters that mean nothing to a shell or to Python, as it is pasted into both."""
    url = read_text(value)
    if url and not re.fullmatch(
        r"https?://([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/[A-Za-z0-9._~-]+)*/?",
        url,
    ):
        raise ValueError("an address like https://skadi.example.com, or empty")
    return url.rstrip("/")


def read_size(value: object) -> int:
    found = re.fullmatch(r"([1-9]\d{0,8}) ?(B|KiB|MiB)?", str(value))
    if not found:
        raise ValueError('a size like "64 KiB" or "1 MiB"')
    return int(found[1]) * {"KiB": KIB, "MiB": MIB}.get(found[2], 1)


def read_duration(value: object) -> timedelta:
    try:
        duration = parse_period(read_text(value))
    except ValueError:
        duration = timedelta()
    if duration <= timedelta():
        raise ValueError('a duration like "90s", "10m" or "1h30m"')
    return duration


def read_age(value: object) -> timedelta | None:
    try:
        return read_duration(value) if value != "" else None
    except ValueError as error:
        raise ValueError('a duration like "90d", or "" for ever') from error


def read_names(value: object) -> Names:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError('a list of words like ["one", "two"]')
    return tuple(word.strip() for word in words if word.strip())


def one_of(words: tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in words:
            raise ValueError("one of " + ", ".join(words))
        return str(value)

    return read


READERS: Mapping[Any, Callable[[object], Any]] = {
    str: read_text,
    Secret: read_secret,
    Path: read_path,
    bool: read_bool,
    int: read_number,
    Port: read_port,
    PortOrOff: read_port_or_off,
    PublicUrl: read_url,
    Size: read_size,
    timedelta: read_duration,
    Age: read_age,
    Names: read_names,
}
