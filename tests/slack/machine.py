"""A server of somebody's, whose agent calls our HTTP API as agents with a journal do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

Verb = str
Does = Callable[[str], tuple[Verb, str]]
"""What comes of a command: how it ends (`succeed`, `fail`) and what it printed."""


def echo(command: str) -> tuple[Verb, str]:
    return "succeed", command


@dataclass
class Machine:
    """`gates`: commands that take until a test lets them go on. `heard`: all it was ever given."""

    url: str
    token: str
    session: aiohttp.ClientSession
    does: Does = echo
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    heard: list[tuple[str, str]] = field(default_factory=list)
    at_work: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)

    @property
    def commands(self) -> Sequence[str]:
        return [command for _, command in self.heard]

    @property
    def held(self) -> int:
        """Jobs that wait for a test."""
        commands = dict(self.heard)
        gates = (self.gates.get(commands[job]) for job in self.at_work)
        return sum(gate is not None and not gate.is_set() for gate in gates)

    def hold(self, command: str) -> asyncio.Event:
        gate = self.gates[command] = asyncio.Event()
        return gate

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self._poll()
        finally:
            for task in self.at_work.values():
                task.cancel()
            await asyncio.gather(*self.at_work.values(), return_exceptions=True)

    async def _poll(self) -> None:
        holding = ",".join(self.at_work)
        query = {"wait": "5", "journal": "j1", "holding": holding, "slots": "9"}
        async with self.session.get(
            f"{self.url}/agent/job", params=query, headers=self._headers
        ) as answer:
            if answer.status != 200:
                return
            given = await answer.json()
        for job in given.get("cancel", ()):
            self.stopped.add(job)
            if job in self.at_work:
                self.at_work[job].cancel()
        if "id" in given:
            self.heard.append((given["id"], given["message"]))
            self.at_work[given["id"]] = asyncio.create_task(
                self._work(given["id"], given["message"])
            )

    async def _work(self, job: str, command: str) -> None:
        try:
            if gate := self.gates.get(command):
                await self._report(job, "running", "")
                await gate.wait()
            await self._report(job, *self.does(command))
        except asyncio.CancelledError:
            if job in self.stopped:
                await self._report(job, "canceled", "")
        finally:
            self.at_work.pop(job, None)

    async def say(self, kind: str, message: str) -> None:
        """To whoever owns it, unasked: `info`, `warning`, `text`."""
        await self._send("POST", f"/agent/message/{kind}", {"message": message})

    async def print(self, job: str, offset: int, text: str) -> None:
        """Live output."""
        await self._send("POST", f"/agent/jobs/{job}/output", {"offset": offset, "text": text})

    async def _report(self, job: str, verb: Verb, result: str) -> None:
        await self._send("PUT", f"/agent/jobs/{job}/{verb}", {"result": result})

    async def _send(self, method: str, path: str, fields: dict[str, Any]) -> None:
        async with self.session.request(
            method, f"{self.url}{path}", json=fields, headers=self._headers
        ) as answer:
            assert answer.status < 300, (answer.status, await answer.text())

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


async def end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
