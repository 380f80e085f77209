"""The corpus: how mail is forged, one small function a kind, each with the answer it deserves.

Whoever forges wants `web-1 reboot` run on Ada's server, or an answer sent to somebody who never asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from tests.mail.forged_signatures import HOMOGLYPH, seal, tiny_key
from tests.mail.office import COMMAND, OWNER, STRANGER, TEAMMATE, letter
from tests.mail.post_office import Attempt, Forge, Scene
from tests.mail.signing import USUAL, new_key

FORGED = "web-1 reboot"
OUTSIDER = "carl@other.example"
SKADI = "skadi@skadi.example"
NEXT_ID = "<next@corp.example>"
"""What Ada's next mail is called."""

# The classes of answers.
UNPROVEN = "550 5.7.1 "
NO_SENDER = "550 5.6.0 From must"
BROKEN_HEAD = "550 5.6.0 Bare"
UNKNOWN = "550 5.1.1 "
NOTED = "250 2.0.0 Noted"
REPEATED = TAKEN = "250 2.0.0 Accepted"


@dataclass(frozen=True)
class Kind:
    name: str
    answer: str
    forge: Forge


KINDS: list[Kind] = []


def kind(answer: str) -> Callable[[Forge], Forge]:
    def enter(forge: Forge) -> Forge:
        KINDS.append(Kind(forge.__name__.replace("_", " "), answer, forge))
        return forge

    return enter


def kinds(answer: str, table: Mapping[str, Forge]) -> None:
    KINDS.extend(Kind(name, answer, forge) for name, forge in table.items())


def signed(scene: Scene, **faults: object) -> bytes:
    return seal(scene.office.letter(FORGED), **faults)  # type: ignore[arg-type]


# Who is it from


def from_line(value: str) -> Forge:
    """A mail from Eve's server, well signed there, whose From line reads so."""
    return lambda scene: Attempt(seal(scene.office.letter(FORGED, value), "evil.example"))


kinds(
    UNPROVEN,
    {
        "a forged From": lambda scene: Attempt(scene.office.letter(FORGED)),
        "a forged From and a forged return path": lambda scene: Attempt(
            scene.office.letter(FORGED), mail_from=OWNER
        ),
        "a name that is an address": from_line(f'"{OWNER}" <{STRANGER}>'),
        "an encoded name that is an address": from_line(
            f"=?utf-8?q?ada=40corp.example?= <{STRANGER}>"
        ),
        "an encoded name with a bracket in it": from_line(
            f"=?utf-8?q?Ada_=3Cada=40corp.example=3E?= <{STRANGER}>"
        ),
        "an address of ours in a comment": from_line(f"{STRANGER} (<{OWNER}>)"),
        "an address of theirs in a comment": from_line(f"{OWNER} (<{STRANGER}>)"),
        "a percent for an at": from_line("ada%corp.example@evil.example"),
        "a domain that only begins like ours": from_line("ada@corp.example.evil.example"),
        "a domain that looks like ours in the DNS": lambda scene: Attempt(
            seal(scene.office.letter(FORGED, f"ada@{HOMOGLYPH}"), HOMOGLYPH)
        ),
        "a sub-domain of ours": lambda scene: Attempt(
            seal(scene.office.letter(FORGED, "ada@sub.corp.example"), "sub.corp.example")
        ),
        "a sub-domain that our domain signs for": lambda scene: Attempt(
            seal(scene.office.letter(FORGED, "ada@sub.corp.example"))
        ),
        "a Sender, Resent-From and Reply-To of somebody else": lambda scene: Attempt(
            f"Sender: {OWNER}\r\nResent-From: {OWNER}\r\nReply-To: {OWNER}\r\n".encode()
            + seal(scene.office.letter(FORGED, STRANGER), "evil.example")
        ),
        "a verdict of our own written in advance": lambda scene: Attempt(
            b"Authentication-Results: skadi.example; dkim=pass header.d=corp.example\r\n"
            b"Received-SPF: pass\r\nARC-Seal: i=1; cv=pass; d=corp.example\r\n"
            + scene.office.letter(FORGED)
        ),
    },
)

kinds(
    NO_SENDER,
    {
        "two addresses in one From": from_line(f"{OWNER}, {STRANGER}"),
        "a name that is an address and not quoted": from_line(f"{OWNER} <{STRANGER}>"),
        "a From folded between name and address": from_line(f"{OWNER}\r\n <{STRANGER}>"),
        "two addresses in brackets": from_line(f"<{STRANGER}> <{OWNER}>"),
        "a source route": from_line(f"<@evil.example:{OWNER}>"),
        "a group": from_line(f"Operators: {OWNER};"),
        "a group without members": from_line("Undisclosed recipients:;"),
        "a quoted local part": from_line('"ada"@corp.example'),
        "an address in a quoted local part": from_line(f'"{OWNER}>"@evil.example'),
        "an encoded address": from_line("=?utf-8?q?ada=40corp=2Eexample?="),
        "an encoded address in brackets": from_line("Ada <=?utf-8?q?ada=40corp.example?=>"),
        "a domain with a Cyrillic letter": from_line("ada@cоrp.example"),
        "a domain with a full-width dot": from_line("ada@corp．example"),
        "an invisible blank in the address": from_line("ada@corp\u200b.example"),
        "a text written backwards": from_line("\u202eelpmaxe.proc@ada"),
        "a NUL behind the address": from_line(f"{OWNER}\0.evil.example"),
        "a domain literal": from_line("ada@[127.0.0.1]"),
        "a From of a thousand blanks": from_line(f"{OWNER}{' ' * 1000}<{STRANGER}>"),
        "an empty From": lambda scene: Attempt(b"From: \r\n" + without(scene, b"From")),
        "no From, but a Sender": lambda scene: Attempt(
            f"Sender: {OWNER}\r\n".encode() + without(scene, b"From")
        ),
        "a NUL in the name of From": lambda scene: Attempt(
            scene.office.letter(FORGED).replace(b"From:", b"Fr\0om:")
        ),
        "no header at all": lambda scene: Attempt(b"\r\n" + scene.office.letter(FORGED)),
        "a second From on top": lambda scene: Attempt(
            f"From: {OWNER}\r\n".encode() + seal(scene.office.letter(FORGED, STRANGER))
        ),
        "a second From with a blank before its colon": lambda scene: Attempt(
            f"From : {OWNER}\r\n".encode() + scene.office.letter(FORGED, STRANGER)
        ),
        "a second From behind a line of blanks": lambda scene: Attempt(
            scene.office.letter(FORGED, STRANGER).replace(
                b"\r\n\r\n", f"\r\n \t\r\nFROM: {OWNER}\r\n\r\n".encode(), 1
            )
        ),
        "a second From beside a signed one": lambda scene: Attempt(
            f"From: {TEAMMATE}\r\n".encode() + signed(scene)
        ),
    },
)

kinds(
    BROKEN_HEAD,
    {
        "a From behind a bare LF": lambda scene: Attempt(hidden_line(scene, "\n")),
        "a From behind a bare CR": lambda scene: Attempt(hidden_line(scene, "\r")),
        "a header that ends at a bare LF": lambda scene: Attempt(
            scene.office.letter(FORGED, STRANGER).replace(b"Subject", b"X: y\n\nSubject")
        ),
        "a header that ends at a doubled CR": lambda scene: Attempt(
            scene.office.letter(FORGED).replace(b"\r\n\r\n", b"\r\r\n\r\r\n")
        ),
    },
)


def without(scene: Scene, name: bytes) -> bytes:
    return re.sub(rb"(?m)^%b: .*\r\n" % name, b"", scene.office.letter(FORGED))


def hidden_line(scene: Scene, end: str) -> bytes:
    line = f"Subject: x{end}From: {OWNER}\r\n".encode()
    return line + without(scene, b"Subject").replace(OWNER.encode(), STRANGER.encode())


# What a signature does not prove


kinds(
    UNPROVEN,
    {
        "another domain's valid signature": lambda scene: Attempt(
            signed(scene, domain="evil.example")
        ),
        "a valid signature of another trusted domain": lambda scene: Attempt(
            signed(scene, domain="other.example")
        ),
        "a valid signature of a sub-domain": lambda scene: Attempt(
            signed(scene, domain="sub.corp.example")
        ),
        "a valid signature of a public suffix": lambda scene: Attempt(
            signed(scene, domain="example")
        ),
        "somebody else's key": lambda scene: Attempt(signed(scene, key=new_key("evil.example"))),
        "a person of another domain behind i=": lambda scene: Attempt(
            signed(scene, i="ada@evil.example")
        ),
        "another domain behind d= and ours behind i=": lambda scene: Attempt(
            signed(scene, domain="evil.example", i=OWNER)
        ),
        "a sub-domain behind i=": lambda scene: Attempt(signed(scene, i="@sub.corp.example")),
        "two domains behind d=": lambda scene: Attempt(
            signed(scene, domain="evil.example").replace(
                b"d=evil.example;", b"d=evil.example; d=corp.example;"
            )
        ),
        "a domain and a NUL behind d=": lambda scene: Attempt(
            signed(scene, domain="evil.example", d="corp.example\0.evil.example")
        ),
        "a signature that expired": lambda scene: Attempt(signed(scene, x="1767225600")),
        "a signature of rsa-sha1": lambda scene: Attempt(signed(scene, algorithm="rsa-sha1")),
        "a signature of no algorithm": lambda scene: Attempt(signed(scene, a="none")),
        "a key of 512 bits": lambda scene: Attempt(signed(scene, selector="tiny", key=tiny_key())),
        "a key that was revoked": lambda scene: Attempt(signed(scene, selector="gone")),
        "a key that is being tested": lambda scene: Attempt(signed(scene, selector="test")),
        "a key for reports": lambda scene: Attempt(signed(scene, selector="reports")),
        "a key that is not there": lambda scene: Attempt(signed(scene, selector="none")),
        "From left out of what is signed": lambda scene: Attempt(
            seal(scene.office.letter(FORGED, STRANGER), h="to:subject:date").replace(
                STRANGER.encode(), OWNER.encode()
            )
        ),
        "a body below l=": lambda scene: Attempt(
            seal(scene.office.letter("Good morning."), length=True) + FORGED.encode() + b"\r\n"
        ),
        "a body put in front of l=0": lambda scene: Attempt(
            seal(scene.office.letter(""), length=True) + FORGED.encode() + b"\r\n"
        ),
        "a changed body": lambda scene: Attempt(
            seal(scene.office.letter("web-1 status")).replace(b"status", b"reboot")
        ),
        "a NUL in a signed body": lambda scene: Attempt(
            signed(scene).replace(b"web-1 reboot", b"web-1 reboot\0")
        ),
        "a changed Subject that was not signed": lambda scene: Attempt(
            seal(
                scene.office.letter("", subject="Hello"),
                headers=[name for name in USUAL if name != "subject"],
            ).replace(b"Hello", FORGED.encode())
        ),
        "a second Subject beside an oversigned one": lambda scene: Attempt(
            f"Subject: {FORGED}\r\n".encode()
            + seal(scene.office.letter("", subject="Hello"), headers=[*USUAL, "subject"])
        ),
        "a Content-Type slipped into a mail that has none": lambda scene: Attempt(
            b"Content-Type: multipart/mixed; boundary=b\r\n"
            + seal(scene.office.letter(f"Look:\r\n--b\r\n\r\n{FORGED}\r\n--b--"))
        ),
        "several valid signatures, all of others": lambda scene: Attempt(
            seal(seal(signed(scene, domain="evil.example"), "other.example"), "sub.corp.example")
        ),
        "a broken signature of ours beside a valid one of another": lambda scene: Attempt(
            seal(
                seal(scene.office.letter("web-1 status")).replace(b"status", b"reboot"),
                "evil.example",
            )
        ),
        "a signed mail to somebody else, passed on": lambda scene: Attempt(
            seal(scene.office.letter(FORGED, to=STRANGER))
        ),
        "a signed mail to somebody else, our address in the name": lambda scene: Attempt(
            seal(scene.office.letter(FORGED, to=f'"{COMMAND}" <{STRANGER}>'))
        ),
        "a signed mail of last week": lambda scene: Attempt(
            seal(letter(FORGED, OWNER, date=scene.office.clock() - timedelta(days=6)))
        ),
        "a signed mail of next week": lambda scene: Attempt(
            seal(letter(FORGED, OWNER, date=scene.office.clock() + timedelta(days=6)))
        ),
        "a signed mail that names no date": lambda scene: Attempt(seal(without(scene, b"Date"))),
    },
)


# Said once more


kinds(
    REPEATED,
    {
        "a signed mail once more": lambda scene: Attempt(scene.genuine),
        "a signed mail once more, from elsewhere": lambda scene: Attempt(
            b"Received: from evil.example\r\n" + scene.genuine, mail_from=OUTSIDER
        ),
        "an old signature and a new id that it does not sign": lambda scene: Attempt(
            scene.genuine.replace(b"Message-Id: <", b"Message-Id: <again.")
        ),
        "an old signature and no id": lambda scene: Attempt(
            re.sub(rb"(?m)^Message-Id: .*\r\n", b"", scene.genuine)
        ),
    },
)
kinds(
    UNPROVEN,
    {
        "an old signature and a new id where it was signed": lambda scene: Attempt(
            signed(scene).replace(b"Message-Id: <", b"Message-Id: <again.")
        ),
        "an old signature and a second id": lambda scene: Attempt(
            b"Message-Id: <again@corp.example>\r\n" + scene.genuine
        ),
        "the id of a mail that Ada will write": lambda scene: Attempt(
            scene.office.letter(FORGED, message_id=NEXT_ID)
        ),
    },
)


# Loops, lists and bounces: each would be a command, as it comes to the secret address


def machine(sender: str = OWNER, **headers: str) -> Forge:
    return lambda scene: Attempt(
        scene.office.letter(FORGED, sender, **headers), [scene.office.ada.address]
    )


kinds(
    NOTED,
    {
        "our own answer, sent back": lambda scene: Attempt(
            scene.answer, [scene.office.ada.address], mail_from=OWNER
        ),
        "our own answer, its marks taken off": lambda scene: Attempt(
            re.sub(rb"(?m)^(Auto-Submitted|X-[A-Za-z-]+): .*\r\n", b"", scene.answer),
            [scene.office.ada.address],
        ),
        "a mail from ourselves": machine(SKADI),
        "a mail from the command address": machine(COMMAND),
        "a mail from a secret address": lambda scene: Attempt(
            scene.office.letter(FORGED, scene.office.ada.address), [scene.office.ada.address]
        ),
        "an automatic answer": machine(auto_submitted="auto-replied"),
        "an automatic notice, with parameters": machine(auto_submitted="Auto-Notified; owner=x"),
        "an answer of an absent person": machine(x_auto_response_suppress="All"),
        "a mail of a list": machine(list_id="<operators.corp.example>"),
        "a mail of a list that says only how to leave": machine(list_unsubscribe="<mailto:x@y>"),
        "a mail in bulk": machine(precedence="bulk"),
        "a mail with our mark of a loop": machine(x_loop=SKADI),
        "a mail of a mailer daemon": machine("MAILER-DAEMON@corp.example"),
        "a mail of nobody who reads answers": machine("no-reply@corp.example"),
        "a report of a delivery": machine(
            content_type="multipart/report; report-type=delivery-status; boundary=b"
        ),
        "a bounce that holds a command": lambda scene: Attempt(
            scene.office.letter(FORGED), [scene.office.ada.address], mail_from=""
        ),
        "a bounce to where answers come from": lambda scene: Attempt(
            scene.office.letter(FORGED, "MAILER-DAEMON@corp.example"), [SKADI], mail_from=""
        ),
        "a bounce to the address of an answer": lambda scene: Attempt(
            scene.office.letter(FORGED), [scene.return_address], mail_from=""
        ),
        "a bounce without a From": lambda scene: Attempt(without(scene, b"From"), mail_from=""),
    },
)


# Addresses


def to(*address: str) -> Forge:
    """Ada's secret is `{0}`, the way back from her answer `{1}`."""
    return lambda scene: Attempt(
        scene.office.letter(FORGED),
        [one.format(scene.office.ada.secret, scene.return_address) for one in address],
    )


def damaged(scene: Scene) -> Attempt:
    local, _, domain = scene.return_address.partition("@")
    other = "b" if local[-1] == "a" else "a"
    return Attempt(scene.office.letter(FORGED), [f"{local[:-1]}{other}@{domain}"])


kinds(
    UNKNOWN,
    {
        "a secret guessed": to(f"agent+{'a' * 26}@skadi.example"),
        "a secret cut short": to("agent+{0:.25}@skadi.example"),
        "a secret with a letter too many": to("agent+{0}a@skadi.example"),
        "a secret with a tag behind it": to("agent+{0}+tag@skadi.example"),
        "a secret behind a tag": to("agent+tag+{0}@skadi.example"),
        "a secret behind two pluses": to("agent++{0}@skadi.example"),
        "a secret without its name": to("{0}@skadi.example"),
        "a secret behind another name": to("root+{0}@skadi.example"),
        "a secret at another domain": to("agent+{0}@evil.example"),
        "a secret at a domain below ours": to("agent+{0}@a.skadi.example"),
        "a secret in full-width letters": to("agent＋{0}@skadi.example"),
        "a plus and nothing": to("agent+@skadi.example"),
        "a wildcard": to("agent+%@skadi.example"),
        "an address of an answer guessed": to(f"agent+r.{'a' * 16}.{'a' * 26}@skadi.example"),
        "an address of an answer, altered": damaged,
        "the address of bounces, by a person": to(SKADI),
        "the number of a token instead of its secret": lambda scene: Attempt(
            scene.office.letter(FORGED), [f"agent+{scene.office.ada.token_id}@skadi.example"]
        ),
        "the secret of an upstream system": lambda scene: Attempt(
            scene.office.letter(FORGED), [f"agent+{scene.office.upstream}@skadi.example"]
        ),
        "a relay to somebody else": to("agent@skadi.example", "victim@elsewhere.example"),
    },
)
kinds(
    UNPROVEN,
    {
        "the secrets of two accounts": lambda scene: Attempt(
            scene.office.letter(FORGED), [scene.office.ada.address, scene.office.eve.address]
        ),
        "a secret in To alone": lambda scene: Attempt(
            scene.office.letter(FORGED, to=scene.office.ada.address)
        ),
        "an address of an answer, used by Eve": lambda scene: Attempt(
            scene.office.letter(FORGED, STRANGER), [scene.return_address]
        ),
        "an address of an answer, used by a teammate": lambda scene: Attempt(
            scene.office.letter(FORGED, TEAMMATE), [scene.return_address]
        ),
        "an address of an answer, in another spelling of Ada": lambda scene: Attempt(
            scene.office.letter(FORGED, "ADA@corp.example"), [scene.return_address]
        ),
        "another one's name as the parameter AUTH": lambda scene: Attempt(
            scene.office.letter(FORGED), mail_from=OWNER, more=f" AUTH={OWNER}"
        ),
        "Eve's secret address, and Ada in From": lambda scene: Attempt(
            scene.office.letter(FORGED), [scene.office.eve.address]
        ),
        "Eve's password, and Ada in From": lambda scene: Attempt(
            scene.office.letter(FORGED), login=scene.office.eve.secret
        ),
        "Eve's password and Ada's secret": lambda scene: Attempt(
            scene.office.letter(FORGED, STRANGER),
            [scene.office.ada.address],
            login=scene.office.eve.secret,
        ),
    },
)


# Two mails in one: Ada's own mail quotes what Eve wrote


def smuggled(end: str) -> Forge:
    def forge(scene: Scene) -> Attempt:
        hidden = (
            f"MAIL FROM:<{OWNER}>\r\nRCPT TO:<{scene.office.ada.address}>\r\nDATA\r\n"
            f"From: {OWNER}\r\nMessage-Id: <hidden@corp.example>\r\n\r\n{FORGED}\r\n"
        )
        mail = scene.office.letter(f"web-1 status{end}{hidden}")
        return Attempt(mail, login=scene.office.ada.secret, genuine=1)

    return forge


kinds(
    TAKEN,
    {
        f"an end of mail that is none: {end!r}": smuggled(end)
        for end in ("\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\r\n\0.\r\n")
    },
)
