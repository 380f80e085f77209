"""Ten thousand requests that nobody should obey: forged, stale, garbled, repeated, in others' names."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.slack.fake import sign
from tests.slack.fake.calls import FORM, JSON, encode
from tests.slack.fake.slack import Kind
from tests.slack.haste import Running
from tests.slack.office import Office, open_office
from tests.web.wire import Line, request

FORGED, STALE, NOISE, GARBLED, IMPOSTORS, REPEATED = 2500, 1500, 1500, 2000, 1250, 1250
CALLERS = 8
HINT = "I do not know you here yet"
ORDER = "web-1 rm -rf /"
JUNK: tuple[Any, ...] = (
    None, True, -1, 10**30, 1.5, "", "x", " ", "é", "\u0000", "\ud800", "U" * 5000, "<!channel>", [],
    [None], [[]], {}, {"": None}, {"id": []}, "1e999.1", "９.９", "T9/U9", "../..", "${x}", "' OR 1=1 --",
)  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """A request, and what it may be answered."""

    raw: bytes
    allowed: frozenset[int]


REFUSED = frozenset({401})
PASSED = frozenset({200, 400})


def post(body: bytes, kind: str, moment: str, signature: str, **headers: str) -> bytes:
    return request(
        "POST",
        "/slack/events",
        body=body,
        Content_Type=kind,
        X_Slack_Request_Timestamp=moment,
        X_Slack_Signature=signature,
        **headers,
    )


class Gunner:
    """Knows what genuine requests look like, and makes others of them."""

    def __init__(self, office: Office) -> None:
        slack, team = office.slack, office.team
        self.slack, self.team, self.random = slack, team, random.Random(7)
        self.secret = slack.app.signing_secret
        self.ada = team.people["UADA"]
        self.eve = slack.person(team, "eve")
        self.guest = slack.person(team, "gus", guest=True)
        self.room = team.rooms["COPS"]
        self.room.members |= {self.eve.id, self.guest.id}
        self.numbers = count(1)

    @property
    def now(self) -> int:
        return int(self.slack.clock().timestamp())

    # Bodies.

    def event(self, who: Any = None, **facts: Any) -> dict[str, Any]:
        """A mention that orders something; `facts` of the event."""
        said = self.slack.put(self.room, who or self.ada, f"<@{self.team.bot.id}> {ORDER}")
        self.room.posts.remove(said)
        event = {**self.slack.payloads.message(self.team, self.room, said), "type": "app_mention"}
        return self.slack.payloads.event(self.team, event | facts, room=self.room)

    def command(self, who: Any = None, **facts: Any) -> dict[str, Any]:
        return self.slack.payloads.command(self.team, self.room, who or self.ada, ORDER) | facts

    def click(self, who: Any = None, **facts: Any) -> dict[str, Any]:
        post = self.room.last("web-1")
        button = post.sight.buttons[0]
        payload = self.slack.payloads.action(self.team, self.room, who or self.ada, post, button)
        payload["actions"][0]["value"] = ORDER
        return payload | facts

    def any(self, who: Any = None) -> tuple[Kind, dict[str, Any]]:
        kinds: list[tuple[Kind, Callable[..., dict[str, Any]]]] = [
            ("event", self.event),
            ("command", self.command),
            ("action", self.click),
        ]
        kind, make = self.random.choice(kinds)
        return kind, make(who)

    # Requests.

    def signed(self, body: bytes, kind: str, off: int = 0, **headers: str) -> bytes:
        moment = self.now + off
        return post(body, kind, str(moment), sign(self.secret, moment, body), **headers)

    def forged(self) -> Iterator[Shot]:
        """Orders of the owner's, signed by somebody else, badly, or not at all."""
        while True:
            body, kind = encode(*self.any())
            moment, good = str(self.now), sign(self.secret, self.now, body)
            for given, signature in (
                (moment, sign("another secret", self.now, body)),
                (moment, sign(self.secret, self.now, body + b" ")),
                (moment, sign(self.secret, self.now - 1, body)),
                (moment, good.upper()),
                (moment, good[:-1]),
                (moment, good.replace("v0=", "v1=")),
                (moment, ""),
                (moment, "v0="),
                (moment, "v0=" + "0" * 64),
                (moment, "v0=é"),
                ("", good),
                ("abc", good),
                (f"+{moment}", good),
                (f" {moment}.0", good),
                ("²" * 10, good),
                ("9" * 400, good),
                (f"-{moment}", good),
                ("0", good),
            ):
                yield Shot(post(body, kind, given, signature), REFUSED)
            bare = request("POST", "/slack/events", body=body, Content_Type=kind)
            yield Shot(bare, REFUSED)

    def stale(self) -> Iterator[Shot]:
        """Genuine once, or not yet."""
        while True:
            body, kind = encode(*self.any())
            for off in (-301 - self.random.randrange(10**6), 302 + self.random.randrange(10**6)):
                yield Shot(self.signed(body, kind, off), REFUSED)

    def noise(self) -> Iterator[Shot]:
        """What is nobody's, unsigned: nothing of it may be looked at."""
        allowed = frozenset({400, 401, 404, 405, 413})
        bodies = [
            b"", b"{", b"[]", b"null", b"payload=[]", b"payload={", b"payload=", b"ssl_check=1", b"=",
            b"\xff\xfe\x00", b'{"type":"url_verification","challenge":"x"}', b"[" * 100_000,
            b'{"a":' * 20_000, b"%", b"payload=%7B%22type%22%3A1%7D", b"\x00" * 1000, "é".encode(),
        ]  # fmt: skip
        while True:
            body = self.random.choice([*bodies, self.random.randbytes(50)])
            kind = self.random.choice([JSON, FORM, "text/xml", "multipart/form-data", "é", ""])
            moment, signature = self.random.choice(["", str(self.now), "x"]), "v0=" + "1" * 64
            yield Shot(post(body, kind, moment, signature), allowed)
            method = self.random.choice(["GET", "PUT", "HEAD", "OPTIONS", "DELETE"])
            yield Shot(request(method, "/slack/events"), allowed)

    def garbled(self) -> Iterator[Shot]:
        """Signed by Slack, it seems, and yet not what Slack sends. It is a stranger's, so that what can
        be understood after all is nobody's order either."""
        odd = [b"null", b"[]", b"1", b'"x"', b"{}", b"", b"payload=null", b"payload=[]", b"{",
               b"payload=1", b"\xff", b"[" * 50_000, b"command=%2Fskadi", b"payload={}",
               b'{"type":"event_callback"}', b'{"type":"event_callback","event":[]}']  # fmt: skip
        while True:
            body = self.random.choice(odd)
            yield Shot(self.signed(body, self.random.choice([JSON, FORM, "", "x/y"])), PASSED)
            for _ in range(8):
                kind, payload = self.any(self.eve)
                for _ in range(self.random.choice((1, 1, 2, 5))):
                    self.spoil(payload)
                encoded, content_type = encode_oddly(kind, payload)
                yield Shot(self.signed(encoded, content_type), PASSED)

    def spoil(self, payload: Any) -> None:
        """Replace or remove something somewhere in it."""
        places = [*places_in(payload)]
        if not places:
            return
        inside, key = self.random.choice(places)
        if self.random.random() < 0.2:
            del inside[key]
        else:
            inside[key] = deepcopy(self.random.choice(JUNK))

    def impostors(self) -> Iterator[Shot]:
        """Signed, whole, and by somebody who is not Ada, however much they look like her."""
        while True:
            edited = {"type": "message", "subtype": "message_changed", "channel_type": "im"}
            yield from map(
                self._told,
                (
                    self.event(bot_id="B1", app_id="A9"),
                    self.event(bot_id="B1", subtype="bot_message"),
                    self.event(bot_profile={"id": "B1"}),
                    self.event(type="message", channel_type="channel"),
                    self.event(type="message", channel_type="im", subtype="message_deleted"),
                    self.event(**edited, message=self.event()["event"]),
                    self.event(user_team="T666", source_team="T666", team="T666"),
                    self.event(type="reaction_added"),
                    self.event(type="member_joined_channel"),
                    self.event(user="USLACKBOT"),
                    self.event(user=self.team.bot.id),
                    self.event(self.guest),
                    self.event(self.eve),
                    {**self.event(), "type": "app_rate_limited"},
                    {**self.event(), "team_id": "T666", "authorizations": []},
                ),
            )
            for click in (self.click(self.guest), self.click(self.eve)):
                yield Shot(self.signed(*encode("action", click)), PASSED)
            for command in (
                self.command(self.guest),
                self.command(self.eve),
                self.command(team_id="T666"),
                self.command(user_id="U" + "0" * 60),
            ):
                yield Shot(self.signed(*encode("command", command)), PASSED)

    def _told(self, payload: dict[str, Any]) -> Shot:
        return Shot(self.signed(*encode("event", payload)), PASSED)

    def repeated(self, genuine: list[tuple[bytes, str]]) -> Iterator[Shot]:
        """What was obeyed already, signed anew as Slack does when it comes again."""
        while True:
            for body, kind in genuine:
                retry: dict[str, Any] = {
                    "X_Slack_Retry_Num": "1",
                    "X_Slack_Retry_Reason": "http_timeout",
                }
                yield Shot(self.signed(body, kind, **retry), PASSED)
                yield Shot(self.signed(body, kind), PASSED)
            # The same post under other event ids, and as a message of another kind.
            again = json.loads(genuine[0][0])
            again["event_id"] = f"Ev{next(self.numbers)}"
            yield self._told(again)


def places_in(payload: Any) -> Iterator[tuple[Any, Any]]:
    keys = payload if isinstance(payload, dict) else range(len(payload))
    for key in keys:
        yield payload, key
        if isinstance(payload[key], dict | list):
            yield from places_in(payload[key])


def encode_oddly(kind: Kind, payload: dict[str, Any]) -> tuple[bytes, str]:
    """Fields of a form that are no text any more are written as JSON would."""
    if kind != "command":
        return encode(kind, payload)
    fields = {key: value if isinstance(value, str) else json.dumps(value)
              for key, value in payload.items()}  # fmt: skip
    return urlencode(fields, errors="replace").encode(), FORM


async def fire(port: int, shots: Iterator[Shot], seen: Counter[int], wrong: list[str]) -> None:
    """One after the other over one connection, or the next where that was closed."""
    line = await Line.open(port)
    try:
        for shot in shots:
            try:
                answer = await line.ask(shot.raw)
            except (ConnectionError, asyncio.IncompleteReadError):
                await line.close()
                line = await Line.open(port)
                answer = await line.ask(shot.raw)
            seen[answer.status] += 1
            if answer.status not in shot.allowed:
                wrong.append(f"{answer.status}: {shot.raw[:400]!r}")
            if answer.headers.get("connection") == "close":
                await line.close()
                line = await Line.open(port)
    finally:
        await line.close()


async def genuine_requests(office: Office, gunner: Gunner) -> list[tuple[bytes, str]]:
    """What Ada really orders: by mention, by command and by a button."""
    caller = office.slack.carrier
    assert caller
    orders: list[tuple[Kind, dict[str, Any]]] = [
        ("event", gunner.event()),
        ("command", gunner.command()),
    ]
    for kind, payload in orders:
        await caller.carry(kind, payload, 0, "")
    await office.reads(gunner.room, "web-1")
    orders.append(("action", gunner.click()))
    await caller.carry(*orders[-1], 0, "")
    return [encode(kind, payload) for kind, payload in orders]


async def test_of_ten_thousand_requests_that_nobody_should_obey_none_is(tmp_path: Path) -> None:
    async with open_office(tmp_path, Running()) as office:
        slack = office.slack
        ada = await office.link(slack.person(office.team, "ada"))
        slack.room(office.team, "ops", ada)
        machine = await office.enrol()
        gunner = Gunner(office)
        genuine = await genuine_requests(office, gunner)
        await office.until(lambda: len(machine.heard) == 3, "the three orders of Ada's")
        await office.calm()
        said = len(slack.asked)

        shots = [
            *islice(gunner.forged(), FORGED),
            *islice(gunner.stale(), STALE),
            *islice(gunner.noise(), NOISE),
            *islice(gunner.garbled(), GARBLED),
            *islice(gunner.impostors(), IMPOSTORS),
            *islice(gunner.repeated(genuine), REPEATED),
        ]
        assert len(shots) == 10_000
        gunner.random.shuffle(shots)
        seen, wrong = Counter[int](), list[str]()
        queue = iter(shots)
        port = int(office.url.rpartition(":")[2])
        await asyncio.gather(*(fire(port, queue, seen, wrong) for _ in range(CALLERS)))

        assert not wrong, "\n".join([f"{len(wrong)} of them, such as", *wrong[:5]])
        assert seen.total() == 10_000
        assert len(await office.jobs()) == 3
        assert machine.commands == ["rm -rf /"] * 3
        # A stranger is told once how to become known, not a thousand times.
        hints = [asked for asked in slack.asked[said:] if HINT in str(asked.args.get("text"))]
        assert len(hints) <= 2, "a stranger makes us chatter"


async def test_a_body_beyond_a_mebibyte_is_not_read(tmp_path: Path) -> None:
    async with open_office(tmp_path, Running()) as office:
        port = int(office.url.rpartition(":")[2])
        for length in (1024 * 1024 + 1, 10**15):
            line = await Line.open(port)
            head = request("POST", "/slack/events", Content_Type=JSON, Content_Length=str(length))
            answer = await line.ask(head)
            assert answer.status == 413
            await line.close()


async def test_an_owners_order_in_the_right_hands_is_obeyed(tmp_path: Path) -> None:
    """So that the ten thousand were refused for what they are, and not because nothing works."""
    async with open_office(tmp_path, Running()) as office:
        ada = await office.link(office.slack.person(office.team, "ada"))
        office.slack.room(office.team, "ops", ada)
        machine = await office.enrol()
        gunner = Gunner(office)
        seen, wrong = Counter[int](), list[str]()
        shot = Shot(gunner.signed(*encode("event", gunner.event())), PASSED)
        port = int(office.url.rpartition(":")[2])
        await fire(port, iter([shot]), seen, wrong)
        await office.until(lambda: machine.commands == ["rm -rf /"])
        assert not wrong
