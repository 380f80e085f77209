"""What a name leads to, as this machine's files and name servers say.

Asked from the event loop itself: the system's own look-up sits in one of few threads until it ends,
also after everybody has given up on it, and one that nobody answers keeps out all others.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import ip_address
from itertools import zip_longest
from pathlib import Path
from typing import Generic, TypeVar

import httpcore
from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.resolver import Answer, NoResolverConfiguration

from adapters.callback.address import Address, as_address, plain
from core.errors import SettingsError

HOSTS = Path("/etc/hosts")
SERVERS = Path("/etc/resolv.conf")
LOOK_UP_TIME = 10.0
"""Seconds for all name servers together."""

Resolve = Callable[[str], Awaitable[Sequence[Address]]]
T = TypeVar("T")


def make_resolver(
    name: str, server: str, *, hosts: Path = HOSTS, servers: Path = SERVERS
) -> Resolve:
    """Raises SettingsError."""
    known = Reading(hosts, read_hosts)
    if not server:
        return Names(known, Reading(servers, read_servers)).find
    host, _, port = server.rpartition(":")
    if not as_address(host.strip("[]")) or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingsError(
            f"[adapters.{name}] dns_server is an IP address with a port, like 127.0.0.1:53."
        )
    resolver = new_resolver()
    resolver.nameservers, resolver.port = [host.strip("[]")], int(port)
    return Names(known, lambda: resolver).find


class Names:
    """`hosts`: what needs no name server; `resolver`: who asks the name servers for the rest."""

    def __init__(
        self,
        hosts: Callable[[], Mapping[str, Sequence[Address]]],
        resolver: Callable[[], Resolver],
    ) -> None:
        self._hosts, self._resolver = hosts, resolver

    async def find(self, host: str) -> Sequence[Address]:
        """Raises httpcore.ConnectError."""
        if near := self._hosts().get(plain(host)) or loopback(plain(host)):
            return near
        try:
            return await ask(self._resolver(), host)
        except (DNSException, ValueError) as error:  # ValueError: of what stands in resolv.conf
            raise httpcore.ConnectError(f"{host} cannot be looked up: {error}") from error


async def ask(resolver: Resolver, host: str) -> Sequence[Address]:
    """Of both kinds by turns, so that a kind without a way out cannot use up all tries. IPv4 first:
    it is the one that hangs less often where it leads nowhere. Raises DNSException."""
    questions = (
        resolver.resolve(host, kind, search=False, raise_on_no_answer=False)
        for kind in ("A", "AAAA")
    )
    answers = await asyncio.gather(*questions, return_exceptions=True)
    found = [
        [ip_address(record.address) for record in answer]
        for answer in answers
        if isinstance(answer, Answer)
    ]
    for trouble in answers:
        # One kind of answer is enough: some servers never answer for the other.
        if isinstance(trouble, BaseException) and not any(found):
            raise trouble
    return [address for pair in zip_longest(*found) for address in pair if address is not None]


def loopback(name: str) -> Sequence[Address]:
    """RFC 6761, section 6.3: no name server is asked for these."""
    near = name == "localhost" or name.endswith(".localhost")
    return [ip_address("127.0.0.1"), ip_address("::1")] if near else []


class Reading(Generic[T]):
    """What a file says, read again whenever it has changed."""

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self._path, self._read = path, read
        self._known: tuple[object, T] | None = None

    def __call__(self) -> T:
        now = look(self._path)
        if self._known is None or self._known[0] != now:
            self._known = now, self._read(self._path)
        return self._known[1]


def look(path: Path) -> object:
    """Different after each change."""
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def new_resolver() -> Resolver:
    resolver = Resolver(configure=False)
    resolver.lifetime = LOOK_UP_TIME
    return resolver


def read_hosts(path: Path) -> Mapping[str, Sequence[Address]]:
    """hosts(5); a line that is none says nothing."""
    known: dict[str, list[Address]] = {}
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return known
    for line in text.splitlines():
        first, *names = line.partition("#")[0].split() or [""]
        if address := as_address(first):
            for name in names:
                known.setdefault(plain(name), []).append(address)
    return known


def read_servers(path: Path) -> Resolver:
    """resolv.conf(5). Raises ValueError."""
    resolver = new_resolver()
    try:
        resolver.read_resolv_conf(path)
    except NoResolverConfiguration:
        resolver.nameservers = ["127.0.0.1"]  # as the same page says
    return resolver
