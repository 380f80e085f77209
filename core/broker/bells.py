"""The bells of this process: who waits here, for the work of which agent or the fate of which job."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self


class HeldBell:
    """A Bell that hangs as long as it is held (`with`), for one task to wait for."""

    __slots__ = ("_agent_id", "_bells", "_job_id", "_rung", "_takes", "_waiter")

    def __init__(self, bells: Bells, agent_id: str, takes: bool) -> None:
        self._bells = bells
        self._agent_id = agent_id
        self._takes = takes
        self._job_id: str | None = None
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        self._bells.hang(self._agent_id, self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bells.take_down(self._agent_id, self)

    def ring(self) -> None:
        self._rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def give(self, job_id: str) -> bool:
        """Ring with a job, if somebody waits here at this moment who takes one: whether it is given."""
        if not self._takes or self._waiter is None or self._waiter.done():
            return False
        self._job_id = job_id
        self.ring()
        return True

    def job(self) -> str | None:
        job_id, self._job_id = self._job_id, None
        return job_id

    async def wait(self, seconds: float) -> bool:
        if not self._rung:
            await self._sleep(seconds)
        rung, self._rung = self._rung, False
        return rung

    async def _sleep(self, seconds: float) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._waiter


class Bells:
    """Rings in memory for everybody of this process who waits for what concerns an id."""

    def __init__(self) -> None:
        self._held: dict[str, list[HeldBell]] = {}

    def bell(self, agent_id: str, takes: bool = False) -> HeldBell:
        return HeldBell(self, agent_id, takes)

    def hang(self, agent_id: str, bell: HeldBell) -> None:
        self._held.setdefault(agent_id, []).append(bell)

    def take_down(self, agent_id: str, bell: HeldBell) -> None:
        held = self._held[agent_id]
        held.remove(bell)
        if not held:
            del self._held[agent_id]

    def ring(self, agent_id: str) -> None:
        for bell in self._held.get(agent_id, ()):
            bell.ring()

    def give(self, agent_id: str, job_id: str) -> bool:
        """Let one who waits here have the job: whether there is one."""
        return any(bell.give(job_id) for bell in self._held.get(agent_id, ()))

    def ring_all(self) -> None:
        for held in self._held.values():
            for bell in held:
                bell.ring()
