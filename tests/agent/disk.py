"""A disk that is full, for one file that this process holds open."""

import os
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
