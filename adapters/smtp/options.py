"""The settings of a mail adapter, each with its default, and what makes them wrong."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from adapters.smtp.addresses import ATOM, DOMAIN, read_address
from adapters.smtp.return_address import LONGEST_LOCAL
from core.errors import SettingsError
from core.settings.values import MIB, NOTHING, Names, Port, Secret, Size

PORTS = {"none": 25, "starttls": 587, "tls": 465}


@dataclass(frozen=True, slots=True)
class Options:
    """What may stand in the section."""

    host: str = "127.0.0.1"
    port: Port = 8025
    domain: str = "localhost"
    """What stands behind the @ of the addresses that commands are sent to."""
    address: str = "agent"
    """What stands before it: `agent@domain`; a secret one is `agent+<token>@domain`."""
    aliases: Names = ()
    """Whole addresses that lead to `agent@domain` as well."""
    sender: str = ""
    """Whom answers are from; empty: `skadi@domain`."""

    tls_cert: str = ""
    tls_key: str = ""
    """Files in PEM; with them STARTTLS is offered."""
    auth: bool = False
    """Whether a token may be given by SMTP AUTH, as the password."""
    require_tls_for_auth: bool = True
    dkim_domains: Names = ()
    """Domains whose DKIM signature proves who wrote a mail."""
    dns_server: str = ""
    """`address:port` to ask for their keys; empty: as this machine does."""
    signed_replies: bool = True
    """Whether answers carry an address that proves, for a week, who writes back to it."""

    size_limit: Size = 10 * MIB
    max_recipients: int = 10
    max_connections: int = 100
    max_connections_per_host: int = 20
    idle_timeout: timedelta = timedelta(seconds=60)
    data_timeout: timedelta = timedelta(minutes=5)

    smarthost: Secret = NOTHING
    """`smtp://user:password@host:587`, or a host; empty: answers go into the Maildir."""
    smarthost_username: str = ""
    smarthost_password: Secret = NOTHING
    smarthost_tls: Literal["starttls", "tls", "none"] = "starttls"
    smarthost_ca: str = ""
    """A file with the certificate of its authority, where that is one of one's own."""
    dkim_selector: str = ""
    dkim_key: str = ""
    """A file with the private key (RSA, PEM), if answers are to be signed here."""
    maildir: str = ""
    """A folder; empty: `outbox` in the data folder."""
    answers_per_hour: int = 30
    """To one address: the last brake, should two machines answer each other after all."""

    @property
    def from_address(self) -> str:
        return self.sender or f"skadi@{self.domain}"


@dataclass(frozen=True, slots=True)
class Server:
    """The smarthost, as it is reached."""

    host: str
    port: int
    tls: str
    username: str = ""
    password: Secret = NOTHING


def refuse_faults(name: str, options: Options) -> None:
    """Raises SettingsError, which names the key and what is allowed."""
    for key, wanted in faults(options):
        raise SettingsError(f"[adapters.{name}] {key} is {wanted}.")


def faults(options: Options) -> Iterator[tuple[str, str]]:
    local = options.address
    if not DOMAIN.fullmatch(options.domain):
        yield "domain", "a domain as it stands behind an @"
    if not re.fullmatch(ATOM, local) or "+" in local or len(local) > LONGEST_LOCAL:
        yield "address", f"what stands before the @, without +, {LONGEST_LOCAL} characters at most"
    if not all(map(read_address, options.aliases)):
        yield "aliases", 'a list of whole addresses like ["jobs@example.org"]'
    if not read_address(options.from_address):
        yield "sender", "a whole address like skadi@example.org"
    if not all(map(DOMAIN.fullmatch, options.dkim_domains)):
        yield "dkim_domains", 'a list of domains like ["example.org"]'
    if options.dns_server and not is_server(options.dns_server):
        yield "dns_server", "an IP address with a port, like 127.0.0.1:53"
    if bool(options.tls_cert) != bool(options.tls_key):
        yield "tls_key", "set when tls_cert is, and only then"
    if options.auth and options.require_tls_for_auth and not options.tls_cert:
        yield "auth", "possible with tls_cert and tls_key only, as passwords need TLS"
    if bool(options.dkim_key) != bool(options.dkim_selector):
        yield "dkim_selector", "set when dkim_key is, and only then"


def is_server(text: str) -> bool:
    host, _, port = text.rpartition(":")
    try:
        ip_address(host)
    except ValueError:
        return False
    return port.isdecimal() and 0 < int(port) < 65536


def read_smarthost(name: str, options: Options) -> Server | None:
    if not options.smarthost:
        return None
    try:
        return server(urlsplit(full_url(options.smarthost)), options)
    except ValueError as error:
        raise SettingsError(
            f"[adapters.{name}] smarthost is like smtp://user:password@mail.example.org:587."
        ) from error


def full_url(text: str) -> str:
    return text if "://" in text else f"smtp://{text}"


def server(url: SplitResult, options: Options) -> Server:
    if url.scheme not in ("smtp", "smtps") or not url.hostname or url.path.strip("/"):
        raise ValueError(url.scheme)
    tls = "tls" if url.scheme == "smtps" else options.smarthost_tls
    return Server(
        url.hostname,
        url.port or PORTS[tls],
        tls,
        unquote(url.username or "") or options.smarthost_username,
        Secret(unquote(url.password or "") or options.smarthost_password),
    )


def server_tls(name: str, options: Options) -> ssl.SSLContext | None:
    """What STARTTLS needs of us; None where it is not offered."""
    if not options.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"[adapters.{name}] tls_cert and tls_key: {error}.") from error
    return context


def client_tls(name: str, options: Options) -> ssl.SSLContext | None:
    """Whom we believe the smarthost's certificate; None: the authorities of this machine."""
    if not options.smarthost_ca:
        return None
    try:
        return ssl.create_default_context(cafile=options.smarthost_ca)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"[adapters.{name}] smarthost_ca: {error}.") from error


def read_file(name: str, key: str, file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise SettingsError(f"[adapters.{name}] {key}: {file} cannot be read.") from error
