"""How the program lives as a process: its log, its limits, the roles it plays, how it leaves."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn

from core.errors import SettingsError, SkadiError

Role = Callable[[], Awaitable[None]]


class Misuse(SettingsError):
    """What was typed cannot be understood."""


LEAVE_WITHIN = 10.0
"""Seconds from the wish to stop to the end, whatever is still in hand."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PRIVATE = 0o077
"""What we write is for whoever runs us: keys, commands, and what they put out."""

log = logging.getLogger(__name__)


def keep_private() -> None:
    """Of the files that are made from here on, nobody else may read any."""
    os.umask(PRIVATE)


def raise_limits() -> None:
    """Each held poll is an open file, and the usual 1,024 are spent on as many agents."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def settle() -> None:
    """Everybody waits while the collector looks for cycles, and we leave hardly any. What was made
    for the start stays till the end and is not looked through again; the rest is, but rarely: to go
    through what 10,000 held polls keep takes 0.15 s, in which nobody is answered."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 50, 500)


def attempt(deed: Callable[[], None]) -> NoReturn:
    """Do it and exit: 0 done, 1 it failed, 2 it was not understood."""
    try:
        deed()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        sys.exit(complain(error))
    sys.exit(0)


def complain(error: Exception) -> int:
    """What we say ourselves in a sentence, anything else with all there is to know; the status."""
    causes = list(leaves(error))
    for cause in causes:
        if isinstance(cause, SettingsError | SkadiError):
            print(f"skadi: {cause}", file=sys.stderr)
        else:
            log.critical("ended by a fault of its own", exc_info=cause)
    return 2 if isinstance(causes[0], Misuse) else 1


def leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


async def play(roles: Mapping[str, Role]) -> None:
    """Play these roles until told to stop, or until one fails: then all end and its error rises."""
    tasks: list[asyncio.Task[None]] = []

    def stop() -> None:
        log.info("stopping; what is in hand is finished, a second signal ends it at once")
        for task in tasks:
            task.cancel()

    with heeding_signals(stop):
        async with asyncio.TaskGroup() as group:
            tasks += [
                group.create_task(keep(name, role), name=name) for name, role in roles.items()
            ]


async def keep(name: str, role: Role) -> None:
    try:
        await role()
        raise RuntimeError(f"the role {name} ended by itself")
    except Exception:
        leave_in_time()
        raise


@contextmanager
def heeding_signals(stop: Callable[[], None]) -> Iterator[None]:
    """The first signal calls `stop`; from then on the next one ends the process as it is."""
    loop = asyncio.get_running_loop()
    # Whoever had one ignored, as nohup does, wants it ignored.
    numbers = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]

    def heed() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        leave_in_time()
        stop()

    for number in numbers:
        loop.add_signal_handler(number, heed)
    yield


def leave_in_time() -> None:
    """A thread sees to it, as the loop itself may be what hangs."""
    timer = threading.Timer(LEAVE_WITHIN, leave_now)
    timer.daemon = True
    timer.start()


def leave_now() -> None:
    log.error("something did not end within %d s and is left behind", LEAVE_WITHIN)
    logging.shutdown()
    os._exit(1)
