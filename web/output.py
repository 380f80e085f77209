"""What a job has said so far, as plain text that can be followed."""

from __future__ import annotations

from core.errors import Invalid
from core.following import Following
from core.jobs import Jobs
from core.model import Job
from core.output import LAST, Piece
from web.answer import Answer, answer
from web.api import job_id_of
from web.auth import Auth
from web.call import Call, Gone
from web.jobs import query_of
from web.poll import read_wait


class OutputApi:
    """`longest_wait`: seconds for which a caller may wait for more."""

    def __init__(
        self, auth: Auth, jobs: Jobs, following: Following, *, longest_wait: float
    ) -> None:
        self._auth = auth
        self._jobs = jobs
        self._following = following
        self._longest_wait = longest_wait

    async def read(self, call: Call) -> Answer:
        query = query_of(call)
        account_id, _ = await self._auth.account(call, "read")
        offset = read_offset(query.get("offset", "0"))
        wait = read_wait(query.get("wait", "0"), self._longest_wait)

        async def look(job: Job) -> Piece:
            return await self._jobs.output.since(job, offset)

        job, piece = await self._following.until_said(account_id, job_id_of(call), wait, look, call)
        if call.gone():
            raise Gone
        if wait:  # a token may have been revoked in the meantime
            await self._auth.account(call, "read")
        return answer(200, piece.text, headers_of(job, piece))


def headers_of(job: Job, piece: Piece) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", b"text/plain; charset=utf-8"),
        # What a script prints is no page of ours, whatever it looks like.
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
        (b"skadi-next-offset", b"%d" % piece.next),
        (b"skadi-status", job.status.encode()),
    ]


def read_offset(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= LAST):
        raise Invalid("offset is how many bytes of output are known already.")
    return int(text)
