"""An agent as they were before us: the habits of the Go SDK and of the shell agent built on it.

It gives up after three seconds and tries everything once. It keeps a connection between polls but
never closes the body of an answer: where there is one that it did not read, it has lost that
connection. While it works it says nothing, and a 401 ends it for good.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.web.wire import Line, Said, request

TIMEOUT = 3.0

Handler = Callable[[str], Awaitable[str]]
"""What the agent does with a message: its output, or an exception with the reason of a failure."""


class Stopped(Exception):
    """The agent has left its loop; it does not come back by itself."""


class OldAgent:
    def __init__(self, port: int, token: str, handler: Handler) -> None:
        self.port = port
        self.token = token
        self.handler = handler
        self.log: list[str] = []
        self.connections = 0
        self._idle: list[Line] = []
        self._lost: list[Line] = []

    async def tick(self) -> bool:
        """One turn of its loop: ask for a job and, if there is one, do it and report."""
        said = await self._send("GET", "/agent/job")
        if said is None:
            return False
        if said.status == 401:
            raise Stopped("invalid token")
        if said.status != 200:
            return False
        job = json.loads(said.body)
        await self._run(job["id"], job["message"])
        return True

    async def tell(self, kind: str, message: str) -> None:
        await self._report("POST", f"/agent/message/{kind}", {"message": message})

    async def delay(self, message: str, duration: str) -> None:
        await self._report("POST", "/agent/job/delayed", {"message": message, "duration": duration})

    async def add(self, message: str) -> None:
        await self._report("POST", "/agent/job/add", {"message": message})

    async def close(self) -> None:
        for line in (*self._idle, *self._lost):
            await line.close()

    async def _run(self, job_id: str, message: str) -> None:
        try:
            verb, result = "succeed", await self.handler(message)
        except ValueError as error:
            verb, result = "fail", str(error)
        await self._report("PUT", f"/agent/jobs/{job_id}/{verb}", {"result": result})

    async def _report(self, method: str, path: str, fields: dict[str, Any]) -> None:
        said = await self._send(method, path, json.dumps(fields).encode())
        if said is not None and said.status >= 400:
            self.log.append(f"{path}: {said.status} {said.body.decode()}")

    async def _send(self, method: str, path: str, body: bytes | None = None) -> Said | None:
        call = request(
            method,
            path,
            self.token,
            body,
            User_Agent="Go-http-client/1.1",
            Content_Type="application/json",
            Accept_Encoding="gzip",
        )
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._exchange(call)
        except (OSError, EOFError, TimeoutError) as error:
            self.log.append(f"{path}: {type(error).__name__}")
            return None

    async def _exchange(self, call: bytes) -> Said:
        line = self._idle.pop() if self._idle else await self._dial()
        said = await line.ask(call)
        (self._idle if is_read(said) else self._lost).append(line)
        return said

    async def _dial(self) -> Line:
        self.connections += 1
        return await Line.open(self.port)


def is_read(said: Said) -> bool:
    """Whether the SDK comes to the end of an answer: of 401, 5xx and what has no Content-Length it
    reads nothing, and neither of an answer it likes but expects nothing in."""
    if said.status == 204 or said.headers.get("content-length") == "0":
        return True
    return said.status == 200 or (400 <= said.status < 500 and said.status != 401)
