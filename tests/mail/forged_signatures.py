"""Signatures that hold by their arithmetic and are wrong in one thing each."""

from __future__ import annotations

from base64 import b64encode, encodebytes
from collections.abc import Sequence
from functools import cache
from typing import Any

import dkim

from tests.mail.signing import USUAL, Key, der, new_key, prime

TRUSTED = ("corp.example", "other.example")
"""The domains whose signatures count."""


@cache
def tiny_key() -> Key:
    """512 bits, which anybody breaks in an afternoon."""
    exponent, (p, q) = 65537, (prime(256), prime(256))
    d = pow(exponent, -1, (p - 1) * (q - 1))
    numbers = (0, p * q, exponent, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))
    lines = (b"-----BEGIN RSA PRIVATE KEY-----", encodebytes(der(numbers)).strip())
    pem = b"\n".join((*lines, b"-----END RSA PRIVATE KEY-----", b""))
    return Key(pem, b64encode(der(numbers[1:3])).decode())


def zone() -> dict[str, str]:
    """What the DNS holds: good keys, bad keys, and those of domains that nobody here trusts."""
    corp = new_key("corp.example")
    domains = ("evil.example", "other.example", "sub.corp.example", "example", HOMOGLYPH)
    return {
        "mail._domainkey.corp.example": corp.record(),
        "tiny._domainkey.corp.example": tiny_key().record(),
        "test._domainkey.corp.example": corp.record("v=DKIM1; t=y; k=rsa"),
        "reports._domainkey.corp.example": corp.record("v=DKIM1; s=tlsrpt; k=rsa"),
        "gone._domainkey.corp.example": "v=DKIM1; k=rsa; p=",
        **{f"mail._domainkey.{name}": new_key(name).record() for name in domains},
    }


HOMOGLYPH = "ada@cоrp.example".partition("@")[2].encode("idna").decode()
"""Our people's domain with one Cyrillic letter in it, as the DNS spells it."""


class Bent(dkim.DKIM):  # type: ignore[misc]
    """A signer that says what it is told to say, and signs that."""

    tags: dict[bytes, bytes]

    def gen_header(
        self, fields: Sequence[tuple[bytes, bytes]], names: Sequence[bytes], *rest: Any, **more: Any
    ) -> Any:
        *before, last = fields
        bent = {**dict(before), **self.tags}
        if b"h" in self.tags:
            names = self.tags[b"h"].split(b":")
        return super().gen_header([*bent.items(), last], names, *rest, **more)


def seal(
    raw: bytes,
    domain: str = "corp.example",
    *,
    selector: str = "mail",
    key: Key | None = None,
    headers: Sequence[str] = USUAL,
    algorithm: str = "rsa-sha256",
    length: bool = False,
    **tags: str,
) -> bytes:
    """The mail with a signature on top. `tags` replace what a good signer would say."""
    signer = Bent(raw, signature_algorithm=algorithm.encode())
    signer.tags = {name.encode(): value.encode() for name, value in tags.items()}
    signature = signer.sign(
        selector.encode(),
        domain.encode(),
        (key or new_key(domain)).pem,
        canonicalize=(b"relaxed", b"relaxed"),
        include_headers=[name.encode() for name in headers],
        length=length,
    )
    return bytes(signature) + raw
