"""Which roles a process plays, and how an adapter with a socket of its own plays one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from cli.process import Misuse, Role
from core.chat import Listener
from core.errors import SettingsError
from core.settings import COMMANDS, Settings, unknown
from core.settings.hosts import advice

log = logging.getLogger(__name__)


def choose_roles(words: Sequence[str], roles: Mapping[str, Role], settings: Settings) -> list[str]:
    """Those that were named; all when none was. Raises SettingsError."""
    for word in words:
        if word in settings.adapters and word not in roles:
            raise SettingsError(f"{word} is no role of its own: it is served by the role web.")
        if word not in roles:
            raise Misuse(unknown("python app.py", "role or command", word, (*roles, *COMMANDS)))
    if words and set(words) != set(roles) and not settings.redis.url:
        raise SettingsError(
            f"Only {', '.join(words)}, and no [redis] url: without Redis the processes could not "
            "hear each other. Start everything in one (python app.py), or set SKADI_REDIS__URL."
        )
    return list(words or roles)


async def listen(listener: Listener) -> None:
    introducing = asyncio.create_task(introduce(listener))
    try:
        await listener.listen()
    except OSError as error:
        raise SettingsError(
            f"[adapters.{listener.name}] cannot listen: {error.strerror or error}. "
            + advice(error, f"SKADI_ADAPTERS__{listener.name.upper()}")
        ) from error
    finally:
        introducing.cancel()


async def introduce(listener: Listener) -> None:
    """Say in the log where it is, as soon as it is there."""
    await listener.ready.wait()
    log.info("%s: %s", listener.name, listener.describe())
