"""What `check` looks at: database, broker, clocks, HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import orjson

from cli.folder import check_file, database_file
from cli.places import http_address
from core.broker.wire import Wire
from core.errors import SkadiError
from core.model import utc_now
from core.settings import Settings
from core.settings.finding import Finding
from core.settings.hosts import is_loopback
from core.store import Store, revision

OLDEST_REDIS = (6, 2)
CLOCK_SLACK = 2.0
"""Seconds that two clocks may differ before it is worth a word."""
PATIENCE = 5.0


async def check_database(settings: Settings, clocks: dict[str, float]) -> AsyncIterator[Finding]:
    url = settings.store_url
    file = database_file(settings)
    if file and not file.exists():
        yield Finding("ok", "database", f"SQLite in {file}; it is made at the first start.")
        return
    for finding in check_file(settings):
        yield finding
    try:
        store = await Store.open(url)
        try:
            clocks["the database"] = await store.clock_offset()
        finally:
            await store.close()
        has, wants = await revision(url)
    except SkadiError:
        todo = "See that it runs and that [database] url names host, user, password and database."
        yield Finding("fail", "database", f"{place_of(url)} does not answer.", todo)
        return
    yield check_revision(settings, place_of(url), has, wants)


def check_revision(settings: Settings, place: str, has: str | None, wants: str) -> Finding:
    if has == wants:
        return Finding("ok", "database", f"{place}, tables up to date ({wants}).")
    state = f"{place}, tables {f'of {has}' if has else 'missing'}; this program wants {wants}."
    if settings.database.migrate:
        return Finding("ok", "database", f"{state} The next start sees to it.")
    return Finding("fail", "database", state, "Run: python app.py migrate")


def place_of(url: str) -> str:
    """An address without its password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest.rpartition('@')[2].partition('?')[0]}"


async def check_broker(settings: Settings, clocks: dict[str, float]) -> AsyncIterator[Finding]:
    url = settings.redis.url
    if not url:
        yield Finding("ok", "broker", "In the process: one process plays all roles.")
        return
    wire = Wire(url)
    try:
        info, (seconds, micros) = await wire.exchange([("INFO", "server"), ("TIME",)])
    except (SkadiError, TypeError, ValueError):
        todo = "See that it runs and that [redis] url names host and password."
        yield Finding("fail", "broker", f"Redis at {place_of(url)} does not answer.", todo)
        return
    finally:
        await wire.close()
    told = datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(micros))
    clocks["Redis"] = (told - utc_now()).total_seconds()
    yield check_version(info.decode(errors="replace"))


def check_version(info: str) -> Finding:
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    version = facts.get("redis_version", "0")
    if tuple(map(int, version.split(".")[:2])) >= OLDEST_REDIS:
        return Finding("ok", "broker", f"Redis {version}.")
    return Finding("fail", "broker", f"Redis {version} is too old.", "Run Redis 6.2 or newer.")


def check_clocks(clocks: Mapping[str, float]) -> Iterator[Finding]:
    """Each clock against ours; where all others agree, it is ours that is off."""
    off = {name: ahead for name, ahead in clocks.items() if abs(ahead) > CLOCK_SLACK}
    if len(clocks) > 1 and len(off) == len(clocks) and spread(clocks) <= CLOCK_SLACK:
        off = {"this machine": -min(clocks.values(), key=abs)}
    for name, ahead in off.items():
        way = "ahead" if ahead > 0 else "behind"
        todo = "Let every machine keep time by NTP: timedatectl set-ntp true"
        yield Finding("warn", "clocks", f"The clock of {name} is {abs(ahead):.1f} s {way}.", todo)
    if clocks and not off:
        yield Finding("ok", "clocks", f"This machine agrees with {' and '.join(clocks)}.")


def spread(clocks: Mapping[str, float]) -> float:
    return max(clocks.values()) - min(clocks.values())


def check_web(settings: Settings) -> Iterator[Finding]:
    address = http_address(settings.web)
    if not is_loopback(settings.web.host):
        todo = "Put a proxy with TLS before it: tokens and output travel in the clear."
        yield Finding("warn", "HTTP", f"Open to the network at {settings.web.host}.", todo)
        if settings.has_demo:
            todo = "Switch it off: SKADI_DEMO=off, then account remove demo."
            yield Finding("warn", "demo", "It is on, and open to the network.", todo)
    yield from check_way(settings)
    try:
        yield from check_answer(address, ask(f"{address}/readyz"))
    except (URLError, OSError) as error:
        if isinstance(getattr(error, "reason", error), ConnectionRefusedError):
            yield Finding("ok", "HTTP", f"{address} is free; the server is not running.")
        else:
            yield taken(address, "SKADI_WEB__PORT")


def check_way(settings: Settings) -> Iterator[Finding]:
    """Whether other machines can be given an agent by a line that is pasted there."""
    web = settings.web
    if not web.url and (web.trust_proxy or not is_loopback(web.host)):
        message = "The line that installs an agent works on this machine alone."
        todo = "Set [web] url to the address at which other machines reach this server."
        yield Finding("warn", "agents", message, todo)
    if web.url.startswith("http://") and not is_loopback(urlsplit(web.url).hostname or ""):
        message = f"Agents are installed from {web.url}, without TLS."
        todo = "Put a proxy with TLS before it, and write https:// into [web] url."
        yield Finding("warn", "agents", message, todo)


def ask(url: str) -> Any:
    """What a JSON document says, be it the body of an error."""
    try:
        with urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 - our own address
            return read_json(answer.read(65536))
    except HTTPError as error:
        return read_json(error.read(65536))


def read_json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        return None


def check_answer(address: str, said: Any) -> Iterator[Finding]:
    parts = said.get("parts") if isinstance(said, dict) else None
    if not isinstance(parts, dict):
        yield taken(address, "SKADI_WEB__PORT")
        return
    yield Finding("ok", "HTTP", f"The server runs at {address}.")
    for part, state in parts.items():
        if state != "ok":
            yield Finding("fail", "HTTP", f"The running server says of its {part}: {state}")


def taken(address: str, setting: str) -> Finding:
    todo = f"Stop what listens there, or choose another port: {setting}."
    return Finding("fail", "HTTP", f"At {address} another program answers.", todo)
