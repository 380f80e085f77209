"""What becomes of a job, told as it happens: server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson

from core.errors import Invalid
from core.events import event_json
from core.following import Following, Place, Told
from core.jobs import Jobs
from web.answer import NO_CONTENT, Answer
from web.api import job_id_of
from web.auth import Auth
from web.call import Call
from web.stream import Flow

HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # nginx passes on at once what it would otherwise collect.
    (b"x-accel-buffering", b"no"),
)
PULSE = b": still going\n\n"
PLACE = re.compile(rb"([0-9]{1,9})(?:[.]([0-9]{1,9}))?")


class EventApi:
    """`pulse`: seconds of silence after which a comment is sent, so that nobody on the way hangs up."""

    def __init__(self, auth: Auth, jobs: Jobs, following: Following, pulse: float) -> None:
        self._auth = auth
        self._jobs = jobs
        self._following = following
        self._pulse = pulse

    async def follow(self, call: Call) -> Answer | Flow:
        account_id, _ = await self._auth.account(call, "read")
        after = place_of(call)
        job = await self._jobs.get(account_id, job_id_of(call))
        if job.status.final and after.seq >= job.seq:
            return NO_CONTENT  # by this a browser knows not to ask again
        return Flow(self._tell(call, account_id, job.id, after), HEADERS)

    async def _tell(
        self, call: Call, account_id: str, job_id: str, after: Place
    ) -> AsyncGenerator[bytes]:
        loop = asyncio.get_running_loop()
        known = loop.time()
        look = self._jobs.output.since
        events = self._following.events(account_id, job_id, after, self._pulse, look, call)
        async with aclosing(events):
            async for told in events:
                if loop.time() - known >= self._pulse:
                    # Who may no longer read is told nothing more, however long the job goes on.
                    await self._auth.account(call, "read")
                    known = loop.time()
                yield as_text(told) if told else PULSE


def place_of(call: Call) -> Place:
    """After which place to go on; the beginning where none is named."""
    said = call.header(b"last-event-id")
    if not said:
        return Place()
    found = PLACE.fullmatch(said)
    if not found:
        raise Invalid("Last-Event-ID is the id of an event of this job.")
    return Place(int(found[1]), int(found[2] or 0))


def as_text(told: Told) -> bytes:
    """JSON has no line breaks, so that each thing is one line of data."""
    place = told.place
    id = b"%d.%d" % (place.seq, place.offset) if place.offset else b"%d" % place.seq
    if told.event:
        kind, data = b"status", orjson.dumps(event_json(told.event))
    else:
        kind, data = b"output", orjson.dumps({"offset": told.start, "text": told.text})
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (id, kind, data)
