"""Domains that sign their mail, and the DNS where they publish their keys."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import dkim
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from dnslib import QTYPE, RCODE, RR, TXT, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer

USUAL = ("from", "to", "subject", "date", "message-id", "content-type")


@dataclass(frozen=True)
class Key:
    """A private key in PEM, the public one as the DNS has it."""

    pem: bytes
    public: str

    def record(self, tags: str = "v=DKIM1; k=rsa") -> str:
        return f"{tags}; p={self.public}"


@cache
def new_key(name: str) -> Key:
    """One key a name, since making one takes long."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Key(pem, base64.b64encode(public).decode())


@cache
def small_key() -> Key:
    """768 bits, which today's libraries refuse to make."""
    exponent, (p, q) = 65537, (prime(384), prime(384))
    d = pow(exponent, -1, (p - 1) * (q - 1))
    numbers = (0, p * q, exponent, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))
    private, public = der(numbers), der(numbers[1:3])
    lines = b"\n".join((b"-----BEGIN RSA PRIVATE KEY-----", base64.encodebytes(private).strip()))
    return Key(lines + b"\n-----END RSA PRIVATE KEY-----\n", base64.b64encode(public).decode())


def prime(bits: int) -> int:
    while True:
        number = secrets.randbits(bits) | 3 << (bits - 2) | 1
        if all(pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7)):
            return number


def der(numbers: Sequence[int]) -> bytes:
    """A sequence of integers in ASN.1."""
    integers = (field(0x02, number.to_bytes(number.bit_length() // 8 + 1)) for number in numbers)
    return field(0x30, b"".join(integers))


def field(tag: int, content: bytes) -> bytes:
    return bytes((tag, 0x82)) + len(content).to_bytes(2) + content


def sign(
    raw: bytes,
    domain: str = "corp.example",
    selector: str = "mail",
    key: Key | None = None,
    headers: tuple[str, ...] = USUAL,
    canonicalize: tuple[bytes, bytes] = (b"relaxed", b"relaxed"),
    length: bool = False,
) -> bytes:
    """The mail with a signature on top, as the mail server of the domain puts it there."""
    header = dkim.sign(
        raw,
        selector.encode(),
        domain.encode(),
        (key or new_key(domain)).pem,
        canonicalize=canonicalize,
        include_headers=[name.encode() for name in headers],
        length=length,
    )
    return bytes(header) + raw


class Zone(BaseResolver):  # type: ignore[misc]
    """A DNS that knows a few keys, and may be struck dumb."""

    def __init__(self, keys: dict[str, str]) -> None:
        self.keys = keys
        self.away = False
        self.asked: list[str] = []

    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        name = str(request.q.qname).rstrip(".")
        self.asked.append(name)
        answer = request.reply()
        if self.away:
            answer.header.rcode = RCODE.SERVFAIL
        elif name in self.keys:
            text = self.keys[name].encode()
            chunks = [text[at : at + 200] for at in range(0, len(text), 200)]
            answer.add_answer(RR(name, QTYPE.TXT, ttl=1, rdata=TXT(chunks)))
        else:
            answer.header.rcode = RCODE.NXDOMAIN
        return answer


@contextmanager
def dns(keys: dict[str, str]) -> Iterator[tuple[Zone, str]]:
    """A name server on this machine, and `address:port` of it."""
    zone = Zone(keys)
    server = DNSServer(zone, address="127.0.0.1", port=0, logger=DNSLogger("-request,-reply"))
    server.start_thread()
    try:
        yield zone, f"127.0.0.1:{server.server.server_address[1]}"
    finally:
        server.stop()
        server.server.server_close()
        server.thread.join(5)
