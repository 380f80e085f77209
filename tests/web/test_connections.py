"""What a stranger can make the server keep: for how long, and how much."""

from __future__ import annotations

import asyncio
import resource
from typing import ClassVar

import pytest

from cli.connection import IN_RESERVE, LONGEST_HEAD, STEP, Connection, most_connections
from cli.server import configure
from core.settings import Web
from core.settings.values import MIB
from tests.web.conftest import House
from tests.web.wire import Line, request, until

HEAD = b"GET /status HTTP/1.1\r\nHost: skadi\r\n"
FLOOD = b"x-more: " + b"x" * 1000 + b"\r\n"


class Hasty(Connection):
    """Waits a moment where the real one waits half a minute."""

    late: ClassVar[float] = 0.15


class Narrow(Connection):
    @staticmethod
    def most() -> int:
        return 2


async def send_until_cut(line: Line, data: bytes, most: int) -> int:
    """How many bytes of it again and again went out before the server hung up."""
    for sent in range(0, most, len(data)):
        try:
            await line.write(data)
        except ConnectionError:
            return sent
    return most


def test_the_server_speaks_through_it(house: House) -> None:
    assert house.server is not None
    assert configure(house.server.config.app, Web()).http is Connection  # type: ignore[arg-type]


async def test_headers_without_an_end_are_refused(house: House) -> None:
    async with house.line() as line:
        await line.write(HEAD + FLOOD * (LONGEST_HEAD // len(FLOOD) + 1))
        said = await line.answer()
        assert (said.status, said.headers["connection"]) == (431, "close")


@pytest.mark.parametrize(
    "start",
    [
        HEAD,
        HEAD + b"x-long: ",
        b"GET /",
        request("POST", "/agent/info", "?", Transfer_Encoding="chunked") + b"0\r\n",
    ],
    ids=["headers", "one header", "path", "trailers"],
)
async def test_no_flood_of_what_is_no_body_is_kept(house: House, start: bytes) -> None:
    flood = FLOOD if start.endswith(b"\n") else b"x" * 1000
    async with house.line() as line:
        await line.write(start)
        assert await send_until_cut(line, flood * 64, 64 * MIB) < 32 * MIB


async def test_headers_of_a_fair_length_are_read(house: House) -> None:
    many = HEAD + FLOOD * ((LONGEST_HEAD - 2 * STEP) // len(FLOOD)) + b"\r\n"
    async with house.line() as line:
        for _ in range(3):
            assert (await line.ask(many)).status == 204


async def test_a_long_body_in_many_small_pieces_is_no_head(house: House) -> None:
    web = await house.enrol("web-1")
    async with house.line() as line:
        head = request("POST", "/agent/message/info", web.token, Transfer_Encoding="chunked")
        pieces = [b'{"message": "', *[b"x"] * (2 * LONGEST_HEAD // 6), b'"}', b""]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        assert (await line.ask(head + body)).status == 202


@pytest.mark.parametrize("said", [b"", b"GET", HEAD, HEAD + b"x-more: "])
async def test_who_dawdles_over_a_head_is_cut(quiet_house: House, said: bytes) -> None:
    async with quiet_house.serving(http=Hasty), quiet_house.line() as line:
        await line.write(said)
        assert await line.ended()


async def test_dripping_bytes_buys_no_time(quiet_house: House) -> None:
    async with quiet_house.serving(http=Hasty), quiet_house.line() as line:

        async def drip() -> None:
            for byte in HEAD * 100:
                await line.write(bytes([byte]))
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert await line.ended()
        dripping.cancel()


async def test_who_dawdles_over_a_later_head_is_cut_as_well(quiet_house: House) -> None:
    async with quiet_house.serving(http=Hasty), quiet_house.line() as line:
        assert (await line.ask(HEAD + b"\r\n")).status == 204
        await asyncio.sleep(0.2)
        assert (await line.ask(HEAD + b"\r\n")).status == 204
        await line.write(b"GET")
        assert await line.ended()


async def test_who_dawdles_over_a_body_that_is_answered_already_is_cut(quiet_house: House) -> None:
    await quiet_house.enrol("web-1")
    async with quiet_house.serving(http=Hasty), quiet_house.line() as line:
        await line.write(request("POST", "/agent/info", "?", Content_Length="100000") + b"{")
        assert (await line.answer()).status == 401
        await line.write(b"x")
        assert await line.ended()


async def test_a_held_poll_and_a_slow_body_are_left_in_peace(quiet_house: House) -> None:
    house = quiet_house
    async with house.serving(http=Hasty):
        web = await house.enrol("web-1")
        async with house.line() as line:
            assert (await line.ask(request("GET", "/agent/job?wait=0.4", web.token))).status == 204
            body = b'{"message": "hello"}'
            said = request("POST", "/agent/info", web.token, Content_Length=str(len(body)))
            await line.write(said + body[:5])
            await asyncio.sleep(0.4)
            assert (await line.ask(body[5:])).status == 202


async def test_one_connection_too_many_is_told_so(quiet_house: House) -> None:
    async with quiet_house.serving(http=Narrow):
        async with quiet_house.line() as one, quiet_house.line() as other:
            for line in (one, other):
                assert (await line.ask(HEAD + b"\r\n")).status == 204
            async with quiet_house.line() as third:
                assert (await third.answer()).status == 503
                assert await third.ended()

        async def has_room() -> bool:
            async with quiet_house.line() as line:
                return (await line.ask(HEAD + b"\r\n")).status == 204

        await until(has_room)


def test_connections_leave_files_to_others() -> None:
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        for allowed in (400, 1024):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
            assert most_connections() == allowed - min(IN_RESERVE, allowed // 4)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
