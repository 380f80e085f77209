"""Disks that are full, or get full in the middle of a line."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def full_disk(file: Path) -> Iterator[None]:
    """Whatever is written to the file meanwhile fails for want of space. Linux only."""
    handle = handle_of(file)
    kept, full = os.dup(handle), os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, handle, inheritable=False)
    try:
        yield
    finally:
        os.dup2(kept, handle, inheritable=False)
        os.close(kept)
        os.close(full)


def handle_of(file: Path) -> int:
    [handle] = [
        int(link.name)
        for link in Path("/proc/self/fd").iterdir()
        if link.is_symlink() and os.readlink(link) == str(file)
    ]
    return handle


@contextmanager
def room_left(file: Path, size: int) -> Iterator[None]:
    """The file may grow by so many bytes and no more; what does not fit is cut off."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
