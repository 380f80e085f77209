"""Files that hold the token: reading them, and writing the token into skadi.yml."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from .errors import ConfigError
from .files import behind_links, read_with_owner, write_file

TOKEN_LENGTH = 20


def read_text(file: Path) -> str:
    try:
        return decode(file, file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error


def decode(file: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: this is not UTF-8 text ({error.reason})") from error


def read_token(file: str) -> str:
    return read_text(Path(file)).strip()


def others_may_read(file: Path) -> bool:
    return bool(file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def write_token(file: Path, line: int, token: str) -> None:
    """Put the token into that line and leave the rest as it is, readable by its owner alone.

    `line` counts from 1; 0: the file has no such line yet.
    """
    if not re.fullmatch(f"[A-Za-z0-9_-]{{{TOKEN_LENGTH}}}", token):
        raise ConfigError(
            f"a token is {TOKEN_LENGTH} letters and digits; this has {len(token)} characters"
        )
    write_line(file, line, f'token: "{token}"')


def write_line(file: Path, line: int, new: str) -> None:
    """The file stays its owner's, and is never another's: what is written is what was read there."""
    try:
        file = behind_links(file)
        data, owner = read_with_owner(file)
        write_file(file, set_line(decode(file, data), line, new).encode(), owner=owner)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from error


def set_line(text: str, line: int, new: str) -> str:
    if not line:
        return f"{new}\n{text}"
    lines = text.split("\n")
    ending = "\r" if lines[line - 1].endswith("\r") else ""
    lines[line - 1] = new + ending
    return "\n".join(lines)
