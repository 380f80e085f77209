"""The agent's own memory of its jobs, so that none runs twice and none ends unheard.

A job is got (here, not begun), started, ended (its result is known) and reported. With a folder
each step is a line of JSON in an append-only file, on the disk before the next step is taken;
without one the journal lives as long as the process and has no id.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from .errors import JournalError

GOT, STARTED, ENDED, REPORTED = "got", "started", "ended", "reported"
INTERRUPTED = (
    "interrupted: the agent stopped; the outcome is unknown, and this may still be running"
)
CONTACT = "contact"
REMEMBERED = 1000
COMPACT_AT = 4 << 20


@dataclass(frozen=True)
class Entry:
    """`verb` and `result` are what is to be reported once the job has ended."""

    id: str
    message: str
    state: str
    verb: str = ""
    result: str = ""

    def line(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


class Journal:
    """Safe to use from several threads. Its methods raise JournalError when the disk fails."""

    def __init__(self, file: JournalFile | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._live: dict[str, Entry] = {}
        self._reported: OrderedDict[str, str] = OrderedDict()

    @classmethod
    def open(cls, folder: Path) -> Journal:
        """Locks the folder; whatever had been started when the last agent stopped is ended."""
        file = JournalFile(folder)
        journal = cls(file)
        try:
            journal._replay(file)
        except BaseException:
            journal.close()
            raise
        return journal

    @property
    def id(self) -> str | None:
        return self._file.id if self._file else None

    def knows(self, job: str) -> bool:
        with self._lock:
            return job in self._live or job in self._reported

    def verb_reported(self, job: str) -> str | None:
        """How a job ended whose end the server already knows."""
        with self._lock:
            return self._reported.get(job)

    def holding(self) -> list[str]:
        with self._lock:
            return list(self._live)

    def waiting(self) -> list[Entry]:
        return self._in_state(GOT)

    def unreported(self) -> list[Entry]:
        return self._in_state(ENDED)

    def receive(self, job: str, message: str) -> None:
        self._put(Entry(job, message, GOT))

    def start(self, job: str, message: str) -> None:
        """When this returns the job counts as run, whatever happens."""
        self._put(Entry(job, message, STARTED))

    def end(self, job: str, verb: str, result: str) -> None:
        """The result is kept for the report even if the disk refuses it."""
        with self._lock:
            entry = self._live.get(job, Entry(job, "", ENDED))
            entry = replace(entry, state=ENDED, verb=verb, result=result)
            self._live[job] = entry
            self._reported.pop(job, None)
            self._append(entry.line(), sync=True)

    def settle(self, job: str) -> None:
        """The server knows the end; a line lost here only means that it is told once more."""
        with self._lock:
            entry = self._live.pop(job)
            self._remember(job, entry.verb)
            self._append(reported_line(job, entry.verb), sync=False)
            if self._file and self._file.has_grown:
                self._file.rewrite(self._lines())

    def note_contact(self) -> None:
        """Leaves a file whose time says when the server was last met anew: for `check`."""
        with self._lock, suppress(OSError):
            if self._file:
                with open_unlinked(self._file.path.parent / CONTACT, os.O_WRONLY) as contact:
                    os.utime(contact.fileno())

    def close(self) -> None:
        with self._lock:
            file, self._file = self._file, None
        if file:
            file.close()

    def _in_state(self, state: str) -> list[Entry]:
        with self._lock:
            return [entry for entry in self._live.values() if entry.state == state]

    def _put(self, entry: Entry) -> None:
        with self._lock:
            self._append(entry.line(), sync=True)
            self._live[entry.id] = entry

    def _append(self, line: str, sync: bool) -> None:
        if self._file:
            self._file.append(line, sync)

    def _remember(self, job: str, verb: str) -> None:
        self._reported[job] = verb
        while len(self._reported) > REMEMBERED:
            self._reported.popitem(last=False)

    def _lines(self) -> Iterable[str]:
        yield from (reported_line(job, verb) for job, verb in self._reported.items())
        yield from (entry.line() for entry in self._live.values())

    def _replay(self, file: JournalFile) -> None:
        for facts in file.read():
            self._apply(Entry(**facts))
        for entry in self._in_state(STARTED):
            self._live[entry.id] = replace(entry, state=ENDED, verb="fail", result=INTERRUPTED)
        file.rewrite(self._lines())

    def _apply(self, entry: Entry) -> None:
        if entry.state == REPORTED:
            self._live.pop(entry.id, None)
            self._remember(entry.id, entry.verb)
        else:
            self._reported.pop(entry.id, None)
            self._live[entry.id] = entry


def reported_line(job: str, verb: str) -> str:
    return Entry(job, "", REPORTED, verb).line()


class JournalFile:
    """journal.jsonl in a folder that one agent at a time has locked."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.jsonl"
        self.id = ""
        self._file: IO[bytes] | None = None
        self._size = 0
        self._compact_at = COMPACT_AT
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = open_unlinked(folder / "lock", os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            raise JournalError(
                f"the state folder {folder} cannot be used: {error.strerror}"
            ) from error
        take_lock(self._lock, folder)

    @property
    def has_grown(self) -> bool:
        return self._size > self._compact_at

    def read(self) -> Iterable[dict[str, str]]:
        """What was written, a line torn by a crash at the very end left out."""
        lines = self._whole_lines()
        self.id = secrets.token_hex(10)
        if lines:
            header = self._parse(1, lines[0], {"journal"})
            self.id = header["journal"]
        for number, line in enumerate(lines[1:], 2):
            yield self._parse(number, line, {"id", "message", "state", "verb", "result"})

    def _whole_lines(self) -> list[bytes]:
        try:
            return self.path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise JournalError(f"{self.path} cannot be read: {error.strerror}") from error

    def _parse(self, number: int, line: bytes, keys: set[str]) -> dict[str, str]:
        try:
            facts = json.loads(line)
        except ValueError:
            facts = None
        if isinstance(facts, dict) and set(facts) == keys and all_text(facts.values()):
            return facts
        raise JournalError(
            f"{self.path}:{number}: this line is damaged. Mend it, or move the file away: "
            "the server will then say of its unfinished jobs that their outcome is unknown"
        )

    def append(self, line: str, sync: bool) -> None:
        if self._file is None:
            raise JournalError(f"{self.path} is not open")
        data = line.encode("utf-8", "replace") + b"\n"
        try:
            write_all(self._file, data)
            if sync:
                os.fsync(self._file.fileno())
        except OSError as error:
            self._undo(self._file)
            raise JournalError(f"{self.path} cannot be written: {error.strerror}") from error
        self._size += len(data)

    def _undo(self, file: IO[bytes]) -> None:
        """Half a line in the middle would make the whole file unreadable later."""
        with suppress(OSError):
            file.truncate(self._size)

    def rewrite(self, lines: Iterable[str]) -> None:
        """Put exactly these lines in the file's place, all or nothing."""
        text = "".join(f"{line}\n" for line in (json.dumps({"journal": self.id}), *lines))
        data = text.encode("utf-8", "replace")
        try:
            self._replace(data)
            sync_folder(self.path.parent)
        except OSError as error:
            raise JournalError(f"{self.path} cannot be written: {error.strerror}") from error

    def _replace(self, data: bytes) -> None:
        new = self.path.with_suffix(".new")
        file = write_new(new, data)
        try:
            os.replace(new, self.path)
        except OSError:
            file.close()
            raise
        if self._file:
            self._file.close()
        self._file = file
        self._size = len(data)
        self._compact_at = max(COMPACT_AT, 2 * self._size)

    def close(self) -> None:
        if self._file:
            self._file.close()
        self._lock.close()


def all_text(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def write_new(path: Path, data: bytes) -> IO[bytes]:
    """A synced file for this user's eyes only, open for appending."""
    path.unlink(missing_ok=True)
    file = open_unlinked(path, os.O_WRONLY | os.O_EXCL | os.O_APPEND)
    try:
        write_all(file, data)
        os.fsync(file.fileno())
    except BaseException:
        file.close()
        raise
    return file


def open_unlinked(path: Path, flags: int) -> IO[bytes]:
    """A file of this very folder, made if need be: the folder may be another user's, and a link in it
    lead where we may write and they may not."""
    return open(os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600), "wb", buffering=0)


def write_all(file: IO[bytes], data: bytes) -> None:
    """An unbuffered write may take only a part."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def take_lock(file: IO[bytes], folder: Path) -> None:
    # Imported here: the rest of this package runs on systems without it, where no folder is given.
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise JournalError(
            f"another agent is at work in the state folder {folder}; stop it, or give this one "
            "a folder of its own (state: in skadi.yml)"
        ) from error


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
