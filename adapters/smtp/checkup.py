"""What `python app.py check` says of mail: where it comes in, where answers go, what is missing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from adapters.smtp.options import (
    Options,
    client_tls,
    read_smarthost,
    refuse_faults,
    server_tls,
)
from core.chat import Mailbox
from core.settings.finding import Finding
from core.settings.hosts import is_loopback, reachable

PATIENCE = 5.0


def mailbox(name: str, options: Options, data: Path) -> Mailbox:
    server = read_smarthost(name, options)
    folder = None if server else Path(options.maildir or data / "outbox")
    return Mailbox(options.host, options.port, options.address, options.domain, folder)


def check(name: str, options: Options, data: Path) -> Iterator[Finding]:
    """Raises SettingsError for what stops the start."""
    refuse_faults(name, options)
    client_tls(name, options)
    tls = server_tls(name, options) is not None
    yield check_socket(name, options)
    if not is_loopback(options.host) and not tls:
        todo = "Set tls_cert and tls_key: secret addresses and commands travel in the clear."
        yield Finding("warn", name, f"Open to the network at {options.host} without TLS.", todo)
    yield Finding("ok", name, f"Who writes is proven by {', '.join(proofs(options))}.")
    yield check_way_out(name, options, data)


def check_socket(name: str, options: Options) -> Finding:
    place = f"{reachable(options.host)}:{options.port}"
    try:
        greeting = greet(reachable(options.host), options.port)
    except ConnectionRefusedError:
        return Finding("ok", name, f"{place} is free; the inbox is not running.")
    except OSError as error:
        return Finding("fail", name, f"{place}: {error}", f"See [adapters.{name}] host.")
    if greeting.startswith(f"220 {options.domain} "):
        return Finding("ok", name, f"The inbox runs at {place}.")
    todo = f"Stop what listens there, or choose another port: SKADI_ADAPTERS__{name.upper()}__PORT."
    return Finding("fail", name, f"At {place} another program answers.", todo)


def greet(host: str, port: int) -> str:
    """What a mail server says to who connects."""
    with socket.create_connection((host, port), PATIENCE) as connection:
        greeting = connection.recv(512).decode("latin-1")
        connection.sendall(b"QUIT\r\n")
        return greeting


def proofs(options: Options) -> Iterator[str]:
    yield "secret addresses"
    if options.signed_replies:
        yield "signed reply addresses"
    if options.auth:
        yield "SMTP AUTH"
    if options.dkim_domains:
        yield f"DKIM of {', '.join(options.dkim_domains)}"


def check_way_out(name: str, options: Options, data: Path) -> Finding:
    server = read_smarthost(name, options)
    if server and server.tls != "none":
        return Finding("ok", name, f"Answers go to {server.host}:{server.port} by {server.tls}.")
    if server:
        todo = "Set smarthost_tls unless the way there is your own."
        return Finding("warn", name, f"Answers go to {server.host} without TLS.", todo)
    outbox = mailbox(name, options, data).outbox
    if is_loopback(options.host):
        return Finding("ok", name, f"Answers go into {outbox}, a Maildir on this machine.")
    todo = "Set smarthost, or nobody but this machine reads the answers."
    return Finding("warn", name, f"Answers go into {outbox}, a Maildir here.", todo)
