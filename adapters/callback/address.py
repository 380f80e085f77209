"""Which addresses may be called: what the job named, and what its name leads to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

import httpx

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NAME = re.compile(r"(?!.*\.\.)[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?\.?")
NUMBER = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)")
"""What some programs take for an address of IPv4 (127.1, 0x7f.1), and what is no name."""

CLOSED: Sequence[Network] = [
    ip_network(text)
    for text in (
        # RFC 6890 and IANA's registries of special-purpose addresses, whatever this Python knows of them.
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20"),
        *("2002::/16", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
]
NAT64 = IPv6Network("64:ff9b::/96")


class ForbiddenAddress(Exception):
    """Nobody is called there."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the settings allow although it is private."""

    names: frozenset[str] = frozenset()
    networks: Sequence[Network] = ()

    def name(self, host: str) -> bool:
        return plain(host) in self.names

    def address(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def read_allowed(hosts: Sequence[str]) -> Allowed:
    """Raises ValueError."""
    names, networks = set(), list[Network]()
    for host in hosts:
        try:
            networks.append(ip_network(host))
        except ValueError as error:
            if not NAME.fullmatch(plain(host)) or re.fullmatch(r"[\d.]+", host):
                raise ValueError(f'"{host}" is no name, address or network') from error
            names.add(plain(host))
    return Allowed(frozenset(names), tuple(networks))


def plain(host: str) -> str:
    return host.lower().removesuffix(".")


def read_url(text: str, allowed: Allowed, *, http: bool) -> httpx.URL:
    """An address as it is called. Raises ValueError: what it `is` or `has`, as the rest of a sentence."""
    if re.search(r"[\s\\]", text):
        raise ValueError("has a blank or a backslash in it")
    try:
        url = httpx.URL(text).copy_with(fragment=None)
    except (httpx.InvalidURL, ValueError) as error:
        raise ValueError("is no URL") from error
    demand_parts(url, http=http)
    if (literal := as_address(url.host)) and not may_call(literal, allowed):
        raise ValueError(f"leads to {literal}, which is not called from here")
    return url


def demand_parts(url: httpx.URL, *, http: bool) -> None:
    if url.scheme not in (("https", "http") if http else ("https",)):
        raise ValueError("does not begin with https://" + (" or http://" if http else ""))
    if url.userinfo:
        raise ValueError("has a name or password in it")
    host = url.raw_host.decode()
    if not as_address(host) and (not NAME.fullmatch(plain(host)) or NUMBER.fullmatch(plain(host))):
        raise ValueError("has no host")
    if url.port is not None and not 0 < url.port < 65536:
        raise ValueError("has a port that is not from 1 to 65535")


def as_address(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def may_call(address: Address, allowed: Allowed) -> bool:
    """Whether a packet to this address ends nowhere that is closed."""
    return all(allowed.address(face) or is_public(face) for face in faces(address))


def is_public(address: Address) -> bool:
    closed = any(address in network for network in CLOSED)
    special = address.is_multicast or address.is_reserved or address.is_link_local
    return address.is_global and not closed and not special


def faces(address: Address) -> Iterator[Address]:
    """The address, and the one of IPv4 that it stands for on the way."""
    if isinstance(address, IPv4Address):
        yield address
    elif address.ipv4_mapped:
        yield address.ipv4_mapped
    else:
        inner = inside(address)
        # The prefix says how it travels; where it ends is what matters.
        if inner is None or address not in NAT64:
            yield IPv6Address(int(address))
        if inner:
            yield inner


def inside(address: IPv6Address) -> IPv4Address | None:
    if address.sixtofour:
        return address.sixtofour
    if address in NAT64 or int(address) >> 32 & 0xFDFFFFFF == 0x5EFE:  # RFC 6052; ISATAP, RFC 5214
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None
