"""Whether a domain vouches for a mail by DKIM (RFC 6376), and for what of it."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import dkim
from dkim.util import InvalidTagValueList, parse_tag_value
from dns.exception import DNSException
from dns.name import EmptyLabel, LabelTooLong, NameTooLong
from dns.resolver import NXDOMAIN, LRUCache, NoAnswer, Resolver

from adapters.smtp.addresses import read_addresses
from adapters.smtp.headers import Content, Headers, read_content
from adapters.smtp.letter import Letter

# It repeats at ERROR what strangers wrote.
logging.getLogger("dkimpy").setLevel(logging.CRITICAL)

MOST_SIGNATURES = 5
LONGEST_SIGNATURE = 4096
MOST_NAMES = 100
SMALLEST_KEY = 1024
DNS_SECONDS = 4.0
OLDEST = timedelta(days=5)
AHEAD = timedelta(days=1)
"""A signed mail can be sent again by anybody. Within these days together it is known as a repeat,
since the keys of messages are kept for a week."""
NEEDED = frozenset((b"from", b"date", b"subject"))
"""What must be signed, the absence of a field included."""
ADDRESSED = ("to", "cc")
"""One of them must be signed as well."""
PLAIN_ENCODINGS = ("", "7bit", "8bit")
"""Others make another text of the same body, and must be signed."""
SINGLE = (
    *("from", "to", "cc", "subject", "date", "message-id", "reply-to"),
    *("mime-version", "content-type", "content-transfer-encoding", "content-disposition"),
)
"""Twice in a mail, and the signature may be about the one that nobody reads."""

Tags = Mapping[bytes, bytes]
FindKey = Callable[[bytes, float], bytes | None]


class KeyAway(Exception):
    """The key could not be asked for; a later try may tell."""


@dataclass(frozen=True, slots=True)
class Seal:
    """`digest` is the same for every copy of the signed mail, whatever was changed of the rest."""

    digest: str
    signed: frozenset[bytes]


class Verifier:
    """Blocks while it asks the DNS: call it in a thread."""

    def __init__(self, domains: Sequence[str], find_key: FindKey, clock: Callable[[], datetime]):
        self._domains = frozenset(domain.lower() for domain in domains)
        self._find_key = find_key
        self._clock = clock

    def trusts(self, domain: str) -> bool:
        return domain in self._domains

    def seal(self, letter: Letter, ours: Callable[[str], bool]) -> Seal | None:
        """The proof that the domain of the From line sent this mail lately, to one of ours.

        Raises KeyAway."""
        sender = letter.sender
        if sender is None or not self.trusts(sender.domain) or not self._is_plausible(letter.head):
            return None
        away: KeyAway | None = None
        for index, tags in signatures(letter.head):
            if is_acceptable(tags, sender.domain, self._clock()):
                try:
                    seal = self._verify(letter, index)
                except KeyAway as error:
                    away = error
                    continue
                if seal and is_whole(letter, seal) and is_addressed(letter.head, seal, ours):
                    return seal
        if away:
            raise away
        return None

    def _is_plausible(self, head: Headers) -> bool:
        single = all(head.count(name) <= 1 for name in SINGLE)
        sent = read_date(head)
        return single and sent is not None and -AHEAD <= self._clock() - sent <= OLDEST

    def _verify(self, letter: Letter, index: int) -> Seal | None:
        check = Check(minkey=SMALLEST_KEY)
        check.headers = [[field.name, field.raw] for field in letter.head.fields]
        check.body = letter.body
        try:
            passed = check.verify(idx=index, dnsfunc=self._key_record)
        except KeyAway:
            raise
        except Exception:
            # On hostile tags and keys the library raises what it likes.
            return None
        return Seal(check.digest(), frozenset(check.include_headers)) if passed else None

    def _key_record(self, name: bytes, timeout: float = DNS_SECONDS) -> bytes | None:
        record = self._find_key(name, timeout)
        return record if record and is_usable(record) else None


class Check(dkim.DKIM):  # type: ignore[misc]
    body: bytes

    def verify_sig_process(
        self, sig: Tags, include_headers: list[bytes], sig_header: object, dnsfunc: object
    ) -> bool:
        """Bring the body into its canonical form here: the library's way takes quadratic time."""
        head, _, body = sig.get(b"c", b"simple/simple").partition(b"/")
        self.body = with_line_ends(self.body)
        if body == b"relaxed":
            self.body = relax(self.body)
        if self.body and body == b"relaxed":
            sig = {**sig, b"c": head + b"/simple"}
        return bool(super().verify_sig_process(sig, include_headers, sig_header, dnsfunc))

    def digest(self) -> str:
        """Of what the sender chose: its Message-ID where that is signed, else what it wrote."""
        signed = {name.lower(): value for name, value in self.signed_headers}
        names = (b"message-id",) if b"message-id" in signed else (b"date", b"subject")
        chosen = [signed.get(name, b"") for name in (b"from", *names)]
        if b"message-id" not in signed:
            chosen.append(re.sub(rb"\s+", b"", self.signature_fields[b"bh"]))
        return hashlib.sha256(b"\0".join(chosen)).hexdigest()


def with_line_ends(body: bytes) -> bytes:
    """CR LF throughout, and one at the end, as signers count them."""
    whole = body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").rstrip(b"\r\n")
    return whole + b"\r\n" if whole else b""


def relax(body: bytes) -> bytes:
    """RFC 6376 section 3.4.4, by steps that each look at every byte once."""
    spaced = body.replace(b"\t", b" ")
    while b"  " in spaced:
        spaced = spaced.replace(b"  ", b" ")
    stripped = spaced.replace(b" \r\n", b"\r\n").rstrip(b"\r\n")
    return stripped + b"\r\n" if stripped else b""


def signatures(head: Headers) -> Iterator[tuple[int, Tags]]:
    for index, raw in enumerate(head.raws("dkim-signature")[:MOST_SIGNATURES]):
        # A long run of blanks costs the library's patterns quadratic time.
        if len(raw) <= LONGEST_SIGNATURE and not re.search(rb"\s{100}", raw):
            try:
                yield index, parse_tag_value(raw)
            except InvalidTagValueList:
                continue


def is_acceptable(tags: Tags, domain: str, now: datetime) -> bool:
    signed = signed_names(tags)
    identity = tags.get(b"i", b"@" + tags.get(b"d", b"")).lower()
    return (
        tags.get(b"d", b"").lower() == domain.encode()
        and identity.endswith(b"@" + domain.encode())
        and tags.get(b"a") == b"rsa-sha256"
        # With l= anybody may append to the body.
        and b"l" not in tags
        and signed >= NEEDED
        and len(signed) <= MOST_NAMES
        and not (b"x" in tags and is_over(tags[b"x"], now))
    )


def signed_names(tags: Tags) -> frozenset[bytes]:
    return frozenset(name.strip().lower() for name in tags.get(b"h", b"").split(b":"))


def is_over(expires: bytes, now: datetime) -> bool:
    return not re.fullmatch(rb"\d{1,12}", expires) or int(expires) < now.timestamp()


def is_usable(record: bytes) -> bool:
    """Whether a key is for mail and meant: RFC 6376 section 3.6.1."""
    try:
        tags = parse_tag_value(record)
    except InvalidTagValueList:
        return False
    testing = b"y" in words(tags.get(b"t", b""))
    hashes, services = words(tags.get(b"h", b"sha256")), words(tags.get(b"s", b"*"))
    return not testing and b"sha256" in hashes and bool(services & {b"*", b"email"})


def words(value: bytes) -> set[bytes]:
    return {word.strip() for word in value.split(b":")}


def is_addressed(head: Headers, seal: Seal, ours: Callable[[str], bool]) -> bool:
    """Whether it was written to us, by what the sender signed: else anybody who was sent a signed
    mail could pass it on as a command."""
    signed = [name for name in ADDRESSED if name.encode() in seal.signed]
    named = (address for name in signed for address in read_addresses(head.bare(name)))
    return any(ours(address) for address in named)


def is_whole(letter: Letter, seal: Seal) -> bool:
    """Whether a signed body can be read in no other way than its sender meant. By another boundary
    a stranger cuts it into other parts; said to be a file, it leaves the subject as the command.

    Google signs no Content-Type. Then the parts must fill the body from its first line to its last."""
    content = read_content(letter.head)
    if content.attached and b"content-disposition" not in seal.signed:
        return False
    if content.encoding not in PLAIN_ENCODINGS and b"content-transfer-encoding" not in seal.signed:
        return False
    if b"content-type" in seal.signed:
        return True
    return is_filled(letter.body, content) if content.multiple else content.kind == "text/plain"


def is_filled(body: bytes, content: Content) -> bool:
    mark = b"--" + content.boundary
    lines = body.strip(b"\r\n").splitlines()
    return bool(lines) and lines[0].rstrip() == mark and lines[-1].rstrip() == mark + b"--"


def read_date(head: Headers) -> datetime | None:
    try:
        sent = parsedate_to_datetime(head.bare("date")[:200])
        # Without a zone it is one in UTC (RFC 5322 section 3.3, "-0000").
        return sent.astimezone(UTC) if sent.tzinfo else sent.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


class KeyDirectory:
    """The DNS, where domains publish their keys."""

    def __init__(self, server: str = "") -> None:
        """`server` is `address:port`; empty: the ones this machine uses."""
        self._resolver = Resolver(configure=not server)
        if server:
            host, _, port = server.rpartition(":")
            self._resolver.nameservers, self._resolver.port = [host], int(port)
        self._resolver.cache = LRUCache(200)

    def find(self, name: bytes, timeout: float = DNS_SECONDS) -> bytes | None:
        try:
            answer = self._resolver.resolve(
                name.decode("ascii"), "TXT", lifetime=min(timeout, DNS_SECONDS), search=False
            )
        except (NXDOMAIN, NoAnswer, EmptyLabel, LabelTooLong, NameTooLong, UnicodeError):
            return None
        except DNSException as error:
            raise KeyAway(type(error).__name__) from error
        records = [b"".join(record.strings) for record in answer]
        return next((record for record in records if b"p=" in record), None)
