"""Files that are written whole or not at all, into folders that others may write to as well."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from .errors import ConfigError

MOST_LINKS = 40


def write_file(
    path: Path, data: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None
) -> None:
    """A program that runs keeps the file that it was started from. Raises OSError.

    `owner`: user and group. Nothing that lies there already is opened: it may be a trap.
    """
    new = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with open(os.open(new, flags, mode), "wb") as stream:
            if owner and owner != (os.geteuid(), os.getegid()):
                os.fchown(stream.fileno(), *owner)
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def behind_links(path: Path) -> Path:
    """What a link leads to, if it is ours. Raises ConfigError for one that somebody else has made:
    with our rights we would write where they may not. Raises OSError."""
    for _ in range(MOST_LINKS):
        if not path.is_symlink():
            return path
        if path.lstat().st_uid != os.geteuid():
            raise ConfigError(f"{path} is a link that somebody else has made: name the file itself")
        path = path.parent / os.readlink(path)
    raise ConfigError(f"{path} is a link that leads nowhere")


def read_with_owner(path: Path) -> tuple[bytes, tuple[int, int]]:
    """The content of a file that is no link, with its user and group. Raises OSError."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
        found = os.fstat(stream.fileno())
        return stream.read(), (found.st_uid, found.st_gid)
