"""What the screen shows after a start with the demo: where things are, and what to paste."""

from __future__ import annotations

import sys
from json import dumps
from pathlib import Path
from shlex import quote

from cli.places import Places
from core.chat import Mailbox
from core.settings.hosts import reachable

TRY = ("hello", "date", "uptime", "echo <words>", "sleep 5", "fail")
WRITER = "you@localhost"
PATIENCE = 30
"""Seconds for which what is pasted waits for its result."""


def banner(places: Places, token: str, mail: str) -> str:
    paragraphs = [
        f"Skadi is at work. HTTP: {places.http}   Data: {places.data}",
        "The agent demo understands: " + ", ".join(TRY) + ".",
    ]
    if places.mailbox:
        paragraphs += mail_paragraphs(places.mailbox, mail)
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


def mail_paragraphs(mailbox: Mailbox, secret: str) -> list[str]:
    paragraphs = [
        "Paste this into another terminal, and a mail commands it:",
        indent(send_mail(mailbox, secret)),
    ]
    if mailbox.outbox:
        paragraphs += [
            f"The answers are in {mailbox.outbox} (a Maildir). The newest one:",
            indent(read_mail(mailbox.outbox)),
        ]
    return paragraphs


def indent(text: str) -> str:
    return "  " + text


def send_mail(mailbox: Mailbox, secret: str, command: str = "demo hello") -> str:
    """Each mail has an id of its own, or the second would count as a repeat of the first."""
    head = f"From: {WRITER}\\nMessage-ID: <{{time.time()}}@localhost>\\nSubject: Skadi"
    return python(
        "import smtplib, time; "
        f"smtplib.SMTP({dumps(reachable(mailbox.host))}, {mailbox.port}).sendmail("
        f'"{WRITER}", "{mailbox.address(secret)}", f"{head}\\n\\n{command}\\n")'
    )


def read_mail(outbox: Path) -> str:
    return python(
        "import email.policy, glob, os; "
        f"newest = max(glob.glob({dumps(f'{outbox}/new/*')}), key=os.path.getmtime); "
        'mail = email.message_from_bytes(open(newest, "rb").read(), policy=email.policy.default); '
        # The first line and the blank one below it are a mark for whoever quotes the answer.
        'print(*mail.get_body(("plain",)).get_content().splitlines()[2:], sep="\\n")'
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
