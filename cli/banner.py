"""What the screen shows after a start with the demo: where things are, and what to paste."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from ipaddress import ip_address
from json import dumps
from pathlib import Path
from shlex import quote

from core.settings import Web

TRY = ("hello", "date", "uptime", "echo <words>", "sleep 5", "fail")
WRITER = "you@localhost"
PATIENCE = 30
"""Seconds for which what is pasted waits for its result."""


@dataclass(frozen=True, slots=True)
class Inbox:
    """Where mail with a command is handed in. `outbox`: the Maildir of the answers, if any."""

    host: str
    port: int
    local: str
    domain: str
    outbox: Path | None

    def address(self, secret: str) -> str:
        """The address that commands the account of a `mail` token."""
        return f"{self.local}+{secret}@{self.domain}"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the parts of this start are. `code` is the folder of app.py."""

    http: str
    inbox: Inbox | None
    data: Path
    code: Path


def http_address(web: Web) -> str:
    return f"http://{reachable(web.host)}:{web.port}"


def reachable(host: str) -> str:
    """An address to connect to, where one to listen on was given."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def banner(places: Places, token: str, mail: str) -> str:
    paragraphs = [
        f"Skadi is at work. HTTP: {places.http}   Data: {places.data}",
        "The agent demo understands: " + ", ".join(TRY) + ".",
    ]
    if places.inbox:
        paragraphs += mail_paragraphs(places.inbox, mail)
    paragraphs += [
        "The same over HTTP, with curl:",
        indent(curl(places.http, token)),
        "or with Python:",
        indent(call(places.http, token)),
        "What became of a job, by the id in that answer:",
        indent(look(places.http, token)),
        f"Everything else: {command(places.code)} --help. Stop with Ctrl-C.",
    ]
    line = "─" * 78
    return "\n".join((line, "\n\n".join(paragraphs), line))


def command(code: Path) -> str:
    """How the program is started here: `make run` has a Python of its own."""
    own = Path(sys.executable).is_relative_to(code)
    return f"{Path(sys.executable).relative_to(code) if own else 'python'} app.py"


def mail_paragraphs(inbox: Inbox, secret: str) -> list[str]:
    paragraphs = [
        "Paste this into another terminal, and a mail commands it:",
        indent(send_mail(inbox, secret)),
    ]
    if inbox.outbox:
        paragraphs += [
            f"The answers are in {inbox.outbox} (a Maildir). The newest one:",
            indent(read_mail(inbox.outbox)),
        ]
    return paragraphs


def indent(text: str) -> str:
    return "  " + text


def send_mail(inbox: Inbox, secret: str, command: str = "demo hello") -> str:
    """Each mail has an id of its own, or the second would count as a repeat of the first."""
    head = f"From: {WRITER}\\nMessage-ID: <{{time.time()}}@localhost>\\nSubject: Skadi"
    return python(
        "import smtplib, time; "
        f"smtplib.SMTP({dumps(reachable(inbox.host))}, {inbox.port}).sendmail("
        f'"{WRITER}", "{inbox.address(secret)}", f"{head}\\n\\n{command}\\n")'
    )


def read_mail(outbox: Path) -> str:
    return python(
        "import email.policy, glob, os; "
        f"newest = max(glob.glob({dumps(f'{outbox}/new/*')}), key=os.path.getmtime); "
        'mail = email.message_from_bytes(open(newest, "rb").read(), policy=email.policy.default); '
        'print(mail.get_body(("plain",)).get_content())'
    )


def curl(http: str, token: str, command: str = "hello") -> str:
    body = dumps({"agent": "demo", "message": command})
    url = f"{http}/api/jobs?wait={PATIENCE}"
    return f"curl -sS -H 'Authorization: Bearer {token}' -d {quote(body)} {quote(url)}"


def look(http: str, token: str, job: str = "ID") -> str:
    return f"curl -sS -H 'Authorization: Bearer {token}' {http}/api/jobs/{job}"


def call(http: str, token: str, command: str = "hello") -> str:
    body = f'json.dumps(dict(agent="demo", message="{command}")).encode()'
    return python(
        "import json, urllib.request as web; print(web.urlopen(web.Request("
        f'"{http}/api/jobs", {body}, '
        f'{{"Authorization": "Bearer {token}"}})).read().decode())'
    )


def python(script: str) -> str:
    return f"python3 -c {quote(script)}"
