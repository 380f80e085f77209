"""The data folder: made for us alone, looked at, and held by one program at a time."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cli.places import http_address
from core.errors import SettingsError, Unavailable
from core.settings import Settings
from core.settings.finding import Finding

OTHERS = stat.S_IRWXG | stat.S_IRWXO
READABLE = stat.S_IRGRP | stat.S_IROTH
WRITE_TODO = "Let this user write there, or name another folder: SKADI_DATA."


def make_folder(settings: Settings) -> None:
    """For us alone: results of jobs lie in it. Raises SettingsError."""
    for finding in check_folder(settings):
        if finding.level == "fail":
            raise SettingsError(f"{finding.message} {finding.todo}")
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{settings.data} cannot be made: {error.strerror}.") from error


def check_folder(settings: Settings) -> Iterator[Finding]:
    """Of what is not there yet, the nearest folder above it: the start makes the rest."""
    place = settings.data
    while not place.exists() and place != place.parent:
        place = place.parent
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        text = f"{settings.data} cannot be written."
        yield Finding("fail", "data folder", text, WRITE_TODO)
    elif place == settings.data and place.stat().st_mode & OTHERS:
        text = f"{place} is open to other users of this machine."
        yield Finding("warn", "data folder", text, f"Close it: chmod 700 {place}")
    else:
        yield Finding("ok", "data folder", str(settings.data))


def database_file(settings: Settings) -> Path | None:
    """That of SQLite; None for a server."""
    url = settings.store_url
    return Path(url.partition("///")[2]) if url.startswith("sqlite") else None


def check_file(settings: Settings) -> Iterator[Finding]:
    """Whether the database itself is shut; in a folder that is, it may be as it likes."""
    file = database_file(settings)
    if not file or not file.exists() or not file.stat().st_mode & READABLE:
        return
    if file.parent.stat().st_mode & OTHERS:
        text = f"{file} can be read by other users of this machine."
        yield Finding("warn", "database", text, f"Close it: chmod 600 {file}*")


@contextmanager
def opening_sqlite(settings: Settings) -> Iterator[None]:
    """A file that cannot be opened is named with the cause: it is not away like a server."""
    try:
        yield
    except Unavailable as error:
        file, cause = database_file(settings), error.__cause__
        if file is None or cause is None:
            raise
        why = getattr(cause, "orig", None) or cause
        raise SettingsError(f"SQLite cannot use {file}: {why}.") from error


@contextmanager
def held(settings: Settings) -> Iterator[None]:
    """No other start uses the folder meanwhile: without Redis each has a broker of its own, and
    would take the agents of the other for silent. Raises SettingsError, saying who has it."""
    if settings.redis.url:
        yield
        return
    make_folder(settings)
    with (settings.data / "skadi.lock").open("a+") as lock:
        take(lock, settings)
        yield


def take(lock: IO[str], settings: Settings) -> None:
    lock.seek(0)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        who = lock.read().strip() or "another process"
        raise SettingsError(
            f"Skadi runs already with {settings.data}: {who}. Stop it, name another folder with "
            "SKADI_DATA, or let several processes share it by SKADI_REDIS__URL."
        ) from error
    lock.truncate(0)
    lock.write(f"process {os.getpid()}, {http_address(settings.web)}\n")
    lock.flush()
