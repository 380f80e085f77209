"""The whole of a long output, as a file in the thread of its message: once, however often it is tried.

What has been done is written into the notebook step by step: the message that was posted, the file
that was filled, that it was shown. So a try after a lost answer goes on where the last one ended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from adapters.slack.blocks import FILE
from adapters.slack.calls import Calls, Refused
from core.chat import DeliveryError, Notebook

REMEMBERED = 2 * 86_400.0
"""Seconds, longer than the notifier tries."""
OVER = 1.0
FRESH = 600.0
"""Seconds after which a file that Slack does not know any more was never shown."""
LONGEST_TITLE = 100
SHOWN_BEFORE = "file_not_found"
MOST_TRIES = 3
"""A message waits no longer for its file than for so many failures."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Steps:
    """How far it got. `handle`: of the post it belongs to; `file`: its id, once Slack has its bytes, and
    `filled_at` when that was (seconds since 1970); `failed`: how often it came no further."""

    handle: str = ""
    file: str = ""
    filled_at: float = 0.0
    failed: int = 0
    shown: bool = False


@dataclass(frozen=True, slots=True)
class Files:
    calls: Calls
    notebook: Notebook
    clock: Callable[[], datetime]

    async def recall(self, key: str) -> Steps:
        kept = await self.notebook.get(key)
        return Steps(**kept) if kept else Steps()

    async def keep(self, key: str, steps: Steps) -> Steps:
        await self.notebook.put(key, asdict(steps), REMEMBERED)
        return steps

    async def forget(self, key: str) -> None:
        """The same may be said again, and is another message then."""
        await self.notebook.put(key, None, OVER)

    async def show(
        self, team: str, key: str, steps: Steps, whole: str, *, title: str, thread: str
    ) -> bool:
        """Whether it is there. `thread`: the ts of what it hangs on. Raises DeliveryError."""
        if steps.shown:
            return True
        try:
            steps = steps if steps.file else await self._fill(team, key, steps, whole)
            await self._complete(team, steps, title, thread)
        except Refused as error:
            log.warning("a file cannot be shown in %s: Slack said %s", steps.handle, error.error)
            await self.keep(key, replace(steps, file=""))
            return False
        except DeliveryError as error:
            return await self._give_up(key, steps, error)
        await self.keep(key, replace(steps, shown=True))
        return True

    async def _give_up(self, key: str, steps: Steps, error: DeliveryError) -> bool:
        """False, when it failed often enough. Raises the error until then, and when it says to wait."""
        if error.retry_after is not None or error.permanent:
            raise error
        kept = await self.recall(key)
        steps = kept if kept.handle else steps
        steps = await self.keep(key, replace(steps, failed=steps.failed + 1))
        if steps.failed < MOST_TRIES:
            raise error
        log.warning("a file cannot be shown in %s: %s", steps.handle, error)
        return False

    async def _fill(self, team: str, key: str, steps: Steps, whole: str) -> Steps:
        content = whole.encode("utf-8", "replace")
        place = await self.calls.call(
            team, "files.getUploadURLExternal", filename=FILE, length=len(content)
        )
        await self.calls.upload(str(place["upload_url"]), content)
        filled = replace(steps, file=str(place["file_id"]), filled_at=self.clock().timestamp())
        return await self.keep(key, filled)

    async def _complete(self, team: str, steps: Steps, title: str, thread: str) -> None:
        """Raises Refused, but not where the answer to a try before was lost."""
        try:
            await self._share(team, steps, title, thread)
        except Refused as error:
            if error.error != SHOWN_BEFORE or not self._is_fresh(steps):
                raise

    async def _share(self, team: str, steps: Steps, title: str, thread: str) -> None:
        await self.calls.call(
            team,
            "files.completeUploadExternal",
            files=[{"id": steps.file, "title": title[:LONGEST_TITLE] or FILE}],
            channel_id=steps.handle.partition("/")[0],
            thread_ts=thread,
        )

    def _is_fresh(self, steps: Steps) -> bool:
        return self.clock().timestamp() - steps.filled_at < FRESH


def note_of(kind: str, *parts: Any) -> str:
    """A name in the notebook for what is said there, the same at every try."""
    told = "\0".join(map(str, parts))
    return f"{kind}:{sha256(told.encode('utf-8', 'replace')).hexdigest()}"
