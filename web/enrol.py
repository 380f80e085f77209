"""How agents come to a machine and say who they are: the program, its installer, codes and hellos."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from ipaddress import ip_address
from re import compile as pattern
from typing import Any

from core.agents import Agents
from core.errors import Invalid
from core.model import Offer
from web.answer import NO_CONTENT, Answer, answer, in_json
from web.auth import Auth
from web.body import Bodies
from web.call import Call
from web.fields import text_of

LONGEST_BODY = 4096
"""Bytes of an exchange: it is read before we know who calls."""
HOST = pattern(r"(localhost|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]{2,45}\])(:\d{1,5})?")
TRACES = (b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"forwarded", b"via")
"""What proxies leave in the calls that they pass on."""
PYTHON = (b"content-type", b"text/x-python; charset=utf-8")
# A stored answer could lead somebody else's machine to the address of the one who asked.
NOT_STORED = (b"cache-control", b"no-store")
NO_ADDRESS = """\
import sys

sys.exit(
    "skadi: the server does not know under which address machines reach it. Its operator sets "
    "[web] url (SKADI_WEB__URL), then the line works."
)
"""


@dataclass(frozen=True)
class Handout:
    """What the composition root knows of the agent's program.

    `make`: its one file; `script`: the installer for the address of a server and the file's sha256;
    `url`: where we are reached, empty if nobody said so."""

    make: Callable[[], bytes]
    script: Callable[[str, str], str]
    url: str = ""

    @cached_property
    def program(self) -> bytes:
        return self.make()

    @cached_property
    def digest(self) -> bytes:
        return sha256(self.program).digest()


class EnrolApi:
    def __init__(self, auth: Auth, bodies: Bodies, handout: Handout, *, agents: Agents) -> None:
        self._auth = auth
        self._bodies = bodies
        self._handout = handout
        self._agents = agents

    async def hello(self, call: Call) -> Answer:
        agent = await self._auth.agent(call)
        fields = await self._bodies.fields(call)
        await self._agents.hellos.say(
            agent,
            version=text_of(fields, "version"),
            hostname=text_of(fields, "hostname"),
            commands=[offer_of(command) for command in list_of(fields, "commands")],
            shell=truth_of(fields, "shell"),
        )
        return NO_CONTENT

    async def introduce(self, call: Call) -> Answer:
        """Whose token this is. That somebody looks is no sign of life."""
        agent = await self._auth.recognise(call)
        return in_json(200, {"id": agent.id, "name": agent.name})

    async def enrol(self, call: Call) -> Answer:
        fields = await self._bodies.fields(call, LONGEST_BODY)
        agent, token = await self._agents.enrolment.exchange(
            text_of(fields, "code"),
            self._auth.address(call),
            name=text_of(fields, "name"),
            hostname=text_of(fields, "hostname"),
        )
        granted = {"id": agent.id, "name": agent.name, "token": token}
        return in_json(201, granted, [NOT_STORED])

    async def program(self, call: Call) -> Answer:
        tag = f'"{self._handout.digest.hex()}"'.encode()
        headers = [
            (b"etag", tag),
            (b"repr-digest", b"sha-256=:" + b64encode(self._handout.digest) + b":"),
            (b"cache-control", b"no-cache"),
        ]
        if tag in call.header(b"if-none-match").replace(b"W/", b"").replace(b",", b" ").split():
            return answer(304, headers=headers)
        return answer(
            200,
            self._handout.program,
            [(b"content-type", b"application/octet-stream"), *headers],
        )

    async def script(self, call: Call) -> Answer:
        """Run as it comes: where we do not know our own address, it says so."""
        url = self._handout.url or told_address(call)
        text = self._handout.script(url, self._handout.digest.hex()) if url else NO_ADDRESS
        return answer(200, text.encode(), [PYTHON, NOT_STORED])


def told_address(call: Call) -> str:
    """Our URL by what the caller says it called, where that can be no lie: this machine by its
    own name, or the very address at which the connection came in. Else empty, and behind a proxy,
    which may put an address of its own in the place of the caller's."""
    if any(call.header(trace) for trace in TRACES):
        return ""
    host = call.header(b"host").decode("latin-1").lower()
    found = HOST.fullmatch(host)
    if not found:
        return ""
    here = call.scope.get("server") or ("", None)
    name = found[1].strip("[]")
    true = is_loopback(name) or (same(name, here[0]) and found[2] == f":{here[1]}")
    return f"http://{host}" if true else ""


def is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def same(name: str, address: str) -> bool:
    try:
        return ip_address(name) == ip_address(address)
    except ValueError:
        return False


def list_of(fields: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = fields.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise Invalid(f"The field {name} must be a list.")
    return value


def truth_of(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool | None):
        raise Invalid(f"The field {name} must be true or false.")
    return bool(value)


def offer_of(command: Any) -> Offer:
    if not isinstance(command, dict):
        raise Invalid("Each of the commands must be an object.")
    params = list_of(command, "params")
    if not all(isinstance(param, str) for param in params):
        raise Invalid("The field params must be a list of strings.")
    return Offer(text_of(command, "name"), text_of(command, "help"), tuple(params))
