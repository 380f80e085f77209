"""Slack on a socket: the Web API, uploads, response URLs and websockets at one address."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import aiohttp
from aiohttp import web

from tests.servers import LOOPBACK, free_port
from tests.slack.fake.calls import Caller
from tests.slack.fake.files import Files
from tests.slack.fake.oauth import OAuth
from tests.slack.fake.rules import Refused
from tests.slack.fake.slack import Asked, Slack, Trouble
from tests.slack.fake.sockets import Sockets
from tests.slack.fake.web import Call, RateLimited, WebApi, decode

HTML = "<html><head><title>503</title></head><body>Slack is having trouble.</body></html>"
BUSY_FOR = 7
"""Seconds that `busy` asks for."""


class Server:
    """`away`: while nobody is there, connections are refused."""

    def __init__(self, slack: Slack) -> None:
        self.slack = slack
        self.port = free_port()
        slack.address = f"http://{LOOPBACK}:{self.port}"
        self.sockets, self.files, self.oauth = Sockets(slack), Files(slack), OAuth(slack)
        self._api = WebApi(slack, self.sockets, self.files, self.oauth)
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/api/{method}", self._call)
        app.router.add_post("/upload/v1/{id}", self._upload)
        app.router.add_post("/hooks/{name}", self._hook)
        app.router.add_get("/link/", self.sockets.serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._site: web.TCPSite | None = None

    @property
    def api(self) -> str:
        """What an SDK takes for its base URL."""
        return f"{self.slack.address}/api/"

    async def open(self) -> None:
        await self._runner.setup()
        await self.come_back()

    async def come_back(self) -> None:
        self._site = web.TCPSite(self._runner, LOOPBACK, self.port, reuse_address=True)
        await self._site.start()

    async def go_away(self) -> None:
        """Take no connections, and end those that are open."""
        if self._site:
            await self._site.stop()
            self._site = None
        self.sockets.abort_all()
        if self._runner.server:
            for connection in self._runner.server.connections:
                if connection.transport:
                    connection.transport.abort()

    async def close(self) -> None:
        self.sockets.abort_all()
        await self._runner.cleanup()

    # Each kind of call.

    async def _call(self, request: web.Request) -> web.StreamResponse:
        call = await read(request)

        def perform() -> web.Response:
            return self._answer(call)

        return await self._troubled(request, perform)

    def _answer(self, call: Call) -> web.Response:
        headers = {"Date": format_datetime(self.slack.clock().astimezone(UTC), usegmt=True)}
        status, error = 200, ""
        try:
            answer, scopes = self._api.perform(call)
            said = {"ok": True, **answer}
            if scopes:
                headers["x-oauth-scopes"] = scopes
        except Refused as refused:
            error = refused.error
            said = {"ok": False, "error": error, **refused.more}
        except RateLimited as limited:
            status, error = 429, "ratelimited"
            headers["Retry-After"] = str(limited.seconds)
            said = {"ok": False, "error": error}
        self.slack.asked.append(Asked(call.method, call.args, error))
        return web.json_response(said, status=status, headers=headers)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        if request.content_type == "multipart/form-data":
            content = await only_part(content, request.headers["Content-Type"])

        def perform() -> web.Response:
            if self.files.fill(request.match_info["id"], content):
                return web.Response(text=f"OK - {len(content)}")
            return web.Response(status=400, text="no such upload, or not of that size")

        return await self._troubled(request, perform)

    async def _hook(self, request: web.Request) -> web.StreamResponse:
        said = json.loads(await request.read())

        def perform() -> web.Response:
            try:
                self.slack.hooks.use(request.match_info["name"], said)
            except Refused as refused:
                self.slack.asked.append(Asked("response_url", said, refused.error))
                answer = {"ok": False, "error": refused.error}
                return web.json_response(answer, status=404)
            self.slack.asked.append(Asked("response_url", said, ""))
            return web.json_response({"ok": True})

        return await self._troubled(request, perform)

    async def _troubled(self, request: web.Request, perform: Any) -> web.StreamResponse:
        """What comes of it in times like these."""
        slack = self.slack
        trouble: Trouble = slack.troubles.popleft() if slack.troubles else slack.trouble
        match trouble:
            case "html":
                return web.Response(status=503, text=HTML, content_type="text/html")
            case "hang":
                await asyncio.sleep(3600)
            case "cut":
                return cut(request)
            case "fatal":
                return web.json_response({"ok": False, "error": "internal_error"})
            case "busy":
                headers = {"Retry-After": str(BUSY_FOR)}
                refusal = {"ok": False, "error": "ratelimited"}
                return web.json_response(refusal, status=429, headers=headers)
        answer: web.Response = perform()
        if trouble == "lost":
            return cut(request)
        if trouble == "half":
            return await halve(request, answer)
        return answer


def cut(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()


async def halve(request: web.Request, answer: web.Response) -> web.StreamResponse:
    """As much is announced as there is, and half of it comes."""
    body = answer.body
    assert isinstance(body, bytes)
    half = web.StreamResponse(headers={"Content-Type": "application/json"})
    half.content_length = len(body)
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    cut(request)
    return half


async def read(request: web.Request) -> Call:
    args = decode(await request.read(), request.content_type, request.query)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    basic = None
    if scheme == "Basic":
        login, _, password = b64decode(token).decode().partition(":")
        basic, token = (login, password), ""
    in_header = scheme == "Bearer"
    return Call(
        request.match_info["method"],
        args,
        token or str(args.pop("token", "")),
        basic,
        posted=request.method == "POST",
        in_json=request.content_type == "application/json",
        in_header=in_header,
    )


async def only_part(content: bytes, content_type: str) -> bytes:
    """What a form carries whose one field is a file."""
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    part = content.split(b"--" + boundary)[1]
    return part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def open_slack(slack: Slack | None = None, *, sockets: bool = False) -> AsyncIterator[Server]:
    """Slack while it lasts. `sockets`: we are told things over them, and not at a URL."""
    slack = slack or Slack(now)
    server = Server(slack)
    async with aiohttp.ClientSession(trust_env=False) as session:
        slack.carrier = server.sockets if sockets else Caller(slack, session)
        await server.open()
        try:
            yield server
        finally:
            await slack.close()
            await server.close()
