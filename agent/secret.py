"""Files that hold the token: reading them, and writing the token into skadi.yml."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from .errors import ConfigError

TOKEN_LENGTH = 20


def read_text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
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
    file = file.resolve()
    replace_file(file, set_line(read_text(file), line, new))


def set_line(text: str, line: int, new: str) -> str:
    if not line:
        return f"{new}\n{text}"
    lines = text.split("\n")
    ending = "\r" if lines[line - 1].endswith("\r") else ""
    lines[line - 1] = new + ending
    return "\n".join(lines)


def replace_file(file: Path, text: str) -> None:
    new = file.with_name(file.name + ".new")
    try:
        before = file.stat()
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "wb") as stream:
            os.fchmod(handle, 0o600)
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(handle, before.st_uid, before.st_gid)
            stream.write(text.encode())
            stream.flush()
            os.fsync(handle)
        os.replace(new, file)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from error
