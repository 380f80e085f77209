"""What is answered: an ASGI response made beforehand, or once from a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.types import Message, Receive, Scope, Send

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An ASGI application that says one thing. It may be said any number of times."""

    start: Message
    end: Message

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(self.start)
        await send(self.end)

    @property
    def status(self) -> int:
        status: int = self.start["status"]
        return status

    @property
    def body(self) -> bytes:
        body: bytes = self.end["body"]
        return body


def answer(status: int, body: bytes = b"", headers: Headers = ()) -> Answer:
    length = (b"content-length", b"%d" % len(body))
    return Answer(
        {"type": "http.response.start", "status": status, "headers": [length, *headers]},
        {"type": "http.response.body", "body": body},
    )


def in_json(status: int, value: Any, headers: Headers = ()) -> Answer:
    kind = (b"content-type", b"application/json")
    return answer(status, orjson.dumps(value), [kind, *headers])


# A length even where RFC 9110 (8.6) would have none: clients that never close a body reuse the
# connection only when they see at once that there is nothing to read.
CREATED, ACCEPTED, NO_CONTENT = answer(201), answer(202), answer(204)
