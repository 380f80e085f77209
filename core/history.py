"""All jobs there are, for the operator: looked through page by page, whoever they belong to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from core.errors import Conflict, NotFound
from core.model import Job, is_id
from core.store import Search, Store

PAGE = 50
"""Jobs in memory at a time; each may have a megabyte of output."""
SHORTEST_TAIL = 4
OFFERED = 5


class History:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def jobs(self, search: Search) -> AsyncGenerator[Job]:
        """Oldest first, however many."""
        after = ""
        while page := await self._store.history.page(search, after, PAGE):
            for job in page:
                yield job
            after = page[-1].id

    async def newest(self, search: Search, limit: int) -> Sequence[Job]:
        return await self._store.history.newest(search, limit)

    async def find(self, word: str) -> Job:
        """By its id or the end of it. NotFound (JobNotFound), Conflict (Ambiguous)."""
        word = word.lower()
        found = [await self._store.jobs.get(word)] if is_id(word) else await self._ending_in(word)
        jobs = [job for job in found if job]
        if not jobs:
            raise NotFound(f"There is no job {word}. See: jobs list", code="JobNotFound", job=word)
        if len(jobs) > 1:
            ids = ", ".join(job.id for job in jobs)
            raise Conflict(f"Several jobs end in {word}: {ids}.", code="Ambiguous", job=word)
        return jobs[0]

    async def _ending_in(self, tail: str) -> Sequence[Job]:
        if len(tail) < SHORTEST_TAIL:
            return []
        return await self._store.history.ending_in(tail, OFFERED)
