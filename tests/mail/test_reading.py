"""Mail as it really is: charsets, parts, quotations, subjects."""

import base64
import quopri

import pytest

from adapters.smtp.letter import Letter, Unreadable, plain_subject, read_letter
from adapters.smtp.message import find_locale
from adapters.smtp.quotes import MARK
from tests.mail.office import Office

TYPED = "web-1 重启 nginx"


def read(body: bytes | str, *headers: str) -> Letter:
    head = "\r\n".join(("From: ada@corp.example", *headers)).encode()
    return read_letter(head + b"\r\n\r\n" + (body.encode() if isinstance(body, str) else body))


def typed(kind: str, encoding: str = "8bit") -> tuple[str, str]:
    return f"Content-Type: {kind}", f"Content-Transfer-Encoding: {encoding}"


# Charsets


@pytest.mark.parametrize(
    ("charset", "really"),
    [
        ("utf-8", "utf-8"),
        ("UTF8", "utf-8"),
        ("gb2312", "gbk"),
        ("GB2312", "gb18030"),
        ("gbk", "gbk"),
        ("gb18030", "gb18030"),
        ("x-gbk", "gbk"),
        ("big5", "big5"),
        ("us-ascii", "utf-8"),
        ("unknown-8bit", "utf-8"),
        ("utf8mb4", "utf-8"),
        ("no such charset", "utf-8"),
        ("idna", "utf-8"),
        ("unicode_escape", "utf-8"),
        ("zlib", "utf-8"),
        ("", "utf-8"),
        ("", "gbk"),
        ("us-ascii", "gbk"),
    ],
)
@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
def test_a_text_is_read_whatever_its_charset_is_called(
    charset: str, really: str, encoding: str
) -> None:
    text = "web-1 重啟" if really == "big5" else TYPED
    raw = text.encode(really)
    coded = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}
    kind = f'text/plain; charset="{charset}"' if charset else "text/plain"
    assert read(coded.get(encoding, bytes)(raw), *typed(kind, encoding)).command == text


def test_a_rare_character_in_what_is_called_gb2312_is_read() -> None:
    letter = read("web-1 朱镕基".encode("gbk"), *typed("text/plain; charset=gb2312"))
    assert letter.command == "web-1 朱镕基"


def test_western_text_is_not_taken_for_chinese() -> None:
    assert read("web-1 café naïve".encode("latin-1")).command == "web-1 café naïve"
    letter = read("web-1 “x”".encode("cp1252"), *typed("text/plain; charset=windows-1252"))
    assert letter.command == "web-1 “x”"


@pytest.mark.parametrize(
    ("coded", "subject"),
    [
        ("=?utf-8?B?6YeN5ZCv?=", "重启"),
        ("=?UTF-8?Q?web-1_=E9=87=8D=E5=90=AF?=", "web-1 重启"),
        ("=?gb2312?B?1ti2rw==?=", "重动"),
        ("=?gb18030?B?w/w=?=\r\n =?gb18030?B?we4=?=", "命令"),
        # A character cut in two by the line's end, as some Chinese programs do.
        ("=?gbk?B?w/zB?=\r\n =?gbk?B?7g==?=", "命令"),
        ("=?gb2312?Q?=C3=FC=81=30=81=30?=", "命\x80"),
        ("=?utf8mb4?B?6YeN5ZCv?=", "重启"),
        ("=?utf-8?B?broken", "=?utf-8?B?broken"),
        ("=?utf-8?B?A?=", "=?utf-8?B?A?="),
        ("a =?utf-8?Q?b=0D=0ABcc:_eve@evil.example?= c", "a b Bcc: eve@evil.example c"),
        ("web-1\r\n\tuptime", "web-1 uptime"),
    ],
)
def test_a_subject_is_decoded(coded: str, subject: str) -> None:
    shown = read("", f"Subject: {coded}").head.text("subject")
    assert shown == "".join(c for c in subject if c.isprintable())


@pytest.mark.parametrize("charset", ["utf-8", "gbk"])
def test_a_subject_in_bare_bytes_is_read(charset: str) -> None:
    raw = b"From: a@b.example\r\nSubject: " + TYPED.encode(charset) + b"\r\n\r\n"
    assert read_letter(raw).command == TYPED


# Parts

PLAIN = "Content-Type: text/plain; charset=utf-8\r\n\r\nweb-1 plain\r\n"
HTML = "Content-Type: text/html; charset=utf-8\r\n\r\n<p>web-1 <b>html</b></p>\r\n"
EMPTY = "Content-Type: text/plain\r\n\r\n \r\n"
FILE = "Content-Type: application/pdf; name=a.pdf\r\n\r\nweb-1 file\r\n"
NOTE = "Content-Disposition: attachment; filename=n.txt\r\n\r\nweb-1 note\r\n"
BARE = "Content-Disposition: attachment\r\n\r\nweb-1 note\r\n"
LOGO = "Content-Type: image/png; name=l.png\r\nContent-Id: <l@x>\r\n\r\npixels\r\n"
FORWARD = "Content-Type: message/rfc822\r\n\r\nFrom: a@b.example\r\n\r\nweb-1 forwarded\r\n"
NAKED = "\r\nweb-1 naked\r\n"


def parts(*pieces: str, kind: str = "mixed", end: str = "--b--\r\n") -> Letter:
    body = "".join(f"--b\r\n{piece}" for piece in pieces) + end
    return read(body, f'Content-Type: multipart/{kind}; boundary="b"')


@pytest.mark.parametrize(
    ("pieces", "command", "attachments"),
    [
        ((PLAIN, HTML), "web-1 plain", 0),
        ((HTML, PLAIN), "web-1 plain", 0),
        ((EMPTY, HTML), "web-1 html", 0),
        ((HTML,), "web-1 html", 0),
        ((PLAIN, FILE, NOTE), "web-1 plain", 2),
        ((NOTE, PLAIN), "web-1 plain", 1),
        ((BARE, PLAIN), "web-1 plain", 1),
        ((PLAIN, LOGO), "web-1 plain", 0),
        ((PLAIN, LOGO.replace("Id", "X")), "web-1 plain", 1),
        ((FILE,), "", 1),
        ((FORWARD,), "", 1),
        ((NAKED,), "web-1 naked", 0),
        ((), "--b--", 0),
    ],
)
def test_the_text_is_found_among_the_parts(
    pieces: tuple[str, ...], command: str, attachments: int
) -> None:
    letter = parts(*pieces)
    assert (letter.command, letter.attachments) == (command, attachments)


def test_a_missing_last_boundary_does_no_harm() -> None:
    assert parts(PLAIN, end="").command == "web-1 plain"


def test_what_precedes_and_follows_the_parts_is_not_read() -> None:
    raw = "preamble\r\n--b\r\n" + PLAIN + "--b--\r\nepilogue\r\n"
    assert read(raw, "Content-Type: multipart/mixed; boundary=b").text.strip() == "web-1 plain"


def test_a_longer_boundary_is_another_one() -> None:
    inner = f"Content-Type: multipart/alternative; boundary=bb\r\n\r\n--bb\r\n{PLAIN}--bb--\r\n"
    assert parts(inner, FILE).command == "web-1 plain"


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type: multipart/mixed",
        "Content-Type: multipart/mixed; boundary=",
        "Content-Type: multipart/mixed; boundary=other",
        "Content-Type: text/plain; charset*=utf-99''%%%; format*0*=x",
        "Content-Type: ;;;===",
        "Content-Type: text",
        "Content-Transfer-Encoding: nonsense",
        "Content-Disposition: inline; filename*=",
    ],
)
def test_broken_headers_of_content_leave_the_text(header: str) -> None:
    assert read("web-1 uptime", header).command == "web-1 uptime"


def test_lines_of_a_paragraph_are_put_together_again() -> None:
    flowed = "web-1 deploy \r\n--tag 1.4\r\n\r\n-- \r\nAda"
    letter = read(flowed, *typed("text/plain; format=flowed"))
    assert list(letter.fresh) == ["web-1 deploy --tag 1.4"]
    letter = read("web-1 deploy 重 \r\n启\r\n", *typed("text/plain; format=flowed; delsp=yes"))
    assert letter.command == "web-1 deploy 重启"


def test_a_line_wrapped_for_transport_is_whole_again() -> None:
    command = "web-1 echo " + "x" * 500
    body = quopri.encodestring(command.encode())
    assert read(body, *typed("text/plain", "quoted-printable")).command == command


# Hypertext


@pytest.mark.parametrize(
    ("html", "lines"),
    [
        ("web-1&nbsp;uptime", ["web-1 uptime"]),
        ("<div>web-1</div><div>two</div>", ["web-1", "two"]),
        ("web-1<br>two<br/>three", ["web-1", "two", "three"]),
        ("<style>p{}</style><title>t</title><!-- c --><p>web-1\n uptime</p>", ["web-1 uptime"]),
        ("<pre>web-1  a\n  b</pre>", ["web-1  a", "b"]),
        ("a &lt;b&gt; &amp;c < d", ["a <b> &c < d"]),
        ("<p>web-1</p><blockquote>old<div>older</div></blockquote>", ["web-1"]),
        ('web-1<div class="gmail_quote">On x wrote:<br>old</div>', ["web-1"]),
        ('web-1<hr><div id="divRplyFwdMsg"><b>From:</b> x</div><div>old</div>', ["web-1"]),
        (f"<div>web-1</div><div>{MARK}</div><p>old</p>", ["web-1"]),
        ("web-1<a href='x>y'>z", ["web-1y'>z"]),
        ("web-1 <unclosed", ["web-1 <unclosed"]),
        ("&#99999999999999999999;web-1", ["web-1"]),
    ],
)
def test_html_becomes_lines(html: str, lines: list[str]) -> None:
    assert list(read(html, *typed("text/html; charset=utf-8")).fresh) == lines


# Quotations

REPLIES = {
    "gmail": "{}\n\nOn Mon, Mar 2, 2026 at 9:00 AM Skadi <skadi@skadi.example> wrote:\n\n> old\n> x",
    "gmail-broken": "{}\n\nOn Mon, Mar 2, 2026 at 9:00 AM Skadi the Very Long Name\n"
    "<skadi@skadi.example> wrote:\n\n> old",
    "gmail-zh": "{}\n\nSkadi <skadi@skadi.example> 于2026年3月2日周一 17:00写道:\n\n> old",
    "gmail-zh-broken": "{}\n\nSkadi <skadi@skadi.example> 于2026年3月2日周一\n17:00写道:\n\n> old",
    "german": "{}\n\nAm 02.03.26 um 09:00 schrieb Skadi:\n> old",
    "french": "{}\n\nLe lun. 2 mars 2026 à 09:00, Skadi <s@x.example> a écrit :\n> old",
    "spanish": "{}\n\nEl lun, 2 mar 2026 a las 9:00, Skadi (<s@x.example>) escribió:\n> old",
    "outlook": "{}\n\n________________________________\nFrom: Skadi <s@x.example>\nSent: Monday\n"
    "To: Ada\nSubject: RE: x\n\nold",
    "outlook-bare": "{}\n\nFrom: Skadi <s@x.example>\nSent: Monday\nTo: Ada\nSubject: x\n\nold",
    "outlook-classic": "{}\n\n-----Original Message-----\nFrom: Skadi\n\nold",
    "outlook-zh": "{}\n\n发件人: Skadi <s@x.example>\n发送时间: 2026年3月2日 9:00\n收件人: Ada\n"
    "主题: 答复: x\n\nold",
    "qq": '{}\n\n\n\n------------------\xa0原始邮件\xa0------------------\n发件人: "Skadi"\nold',
    "qq-en": "{}\n\n------------------ Original ------------------\nFrom: Skadi\nold",
    "163": '{}\n\n\n\n在 2026-03-02 17:00:00,"Skadi" <s@x.example> 写道:\n\nold',
    "163-en": '{}\n\nAt 2026-03-02 17:00:00, "Skadi" <s@x.example> wrote:\n\nold',
    "163-new": "{}\n\n---- 回复的原邮件 ----\n| 发件人 | Skadi |\nold",
    "forwarded": "{}\n\n---------- Forwarded message ---------\nFrom: Skadi\nold",
    "ours": "{}\n\n" + MARK + "\n\nold",
    "signed": "{}\n\n-- \nAda Lovelace\nOperations",
    "phone": "{}\n\nSent from my iPhone",
    "phone-zh": "{}\n\n发自我的iPhone",
    "signed-quoted": "{}\n-- \nAda\n\nOn Mon, Mar 2 Skadi wrote:\n> old",
    "below": "On Mon, Mar 2, 2026 Skadi wrote:\n> old\n> older\n\n{}\n",
    "prefixed": "> old\n{}\n> older",
}


@pytest.mark.parametrize("program", REPLIES)
def test_only_what_is_new_is_read(program: str) -> None:
    body = REPLIES[program].format(TYPED).replace("\n", "\r\n")
    letter = read(body, *typed("text/plain; charset=utf-8"), "Subject: Re: web-1 reboot")
    assert list(letter.fresh) == [TYPED]


@pytest.mark.parametrize(
    "program", [name for name in REPLIES if name not in ("signed", "phone", "phone-zh")]
)
def test_an_answer_sent_empty_does_not_repeat_its_subject(program: str) -> None:
    body = REPLIES[program].format("").replace("\n", "\r\n")
    letter = read(body, *typed("text/plain; charset=utf-8"), "Subject: Re: web-1 reboot")
    assert letter.command == ""


@pytest.mark.parametrize("program", ["signed", "phone", "phone-zh"])
def test_the_subject_is_the_command_where_only_a_signature_is_below(program: str) -> None:
    body = REPLIES[program].format("").replace("\n", "\r\n")
    letter = read(body, *typed("text/plain; charset=utf-8"), "Subject: web-1 uptime")
    assert letter.command == "web-1 uptime"


@pytest.mark.parametrize(
    "line",
    [
        "From: is a word",
        "On second thoughts web-1 wrote",
        "web-1 echo > out.txt",
        "web-1 say 'he wrote: hello'",
        "web-1 --- x",
        "de: nada",
    ],
)
def test_a_command_is_not_mistaken_for_a_quotation(line: str) -> None:
    assert read(f"{line}\r\nmore").command == line


def test_the_first_line_is_the_command_and_the_rest_is_remarked() -> None:
    letter = read("\r\n \r\n\u3000web-1 uptime  \r\n\r\nplease\r\n")
    assert list(letter.fresh) == ["web-1 uptime", "please"]


# Subjects


@pytest.mark.parametrize(
    ("subject", "plain"),
    [
        ("Re: web-1 x", "web-1 x"),
        ("RE: AW: Fwd: web-1 x", "web-1 x"),
        ("Re[2]: web-1 x", "web-1 x"),
        ("回复:web-1 x", "web-1 x"),
        ("答复: 转发: web-1 x", "web-1 x"),
        ("WG: web-1 x", "web-1 x"),
        ("restart: web-1 x", "restart: web-1 x"),
        ("Re:", ""),
        ("", ""),
    ],
)
def test_a_subject_loses_what_answering_adds(subject: str, plain: str) -> None:
    assert plain_subject(subject) == plain


@pytest.mark.parametrize("body", ["", "\r\n", " \r\n\t\r\n"])
def test_the_subject_is_the_command_of_an_empty_mail(body: str) -> None:
    assert read(body, "Subject: Re: web-1 uptime").command == "web-1 uptime"


def test_a_mail_with_nothing_in_it_is_an_empty_command() -> None:
    assert read("").command == ""


# What else is told


@pytest.mark.parametrize(
    ("headers", "body", "locale"),
    [
        (("Content-Language: zh-CN",), "x", "zh-CN"),
        (("Accept-Language: de-DE, en-US",), "x", "de-DE"),
        (("Content-Language: \r\n <script>",), "x", ""),
        (("Subject: =?utf-8?B?6YeN5ZCv?=",), "x", "zh"),
        ((), TYPED, "zh"),
        ((), "web-1 uptime", ""),
    ],
)
def test_the_language_is_told_or_seen(headers: tuple[str, ...], body: str, locale: str) -> None:
    assert find_locale(read(body, *headers)) == locale


async def test_what_was_left_out_is_remarked(office: Office) -> None:
    text = f"--b\r\n\r\nweb-1 uptime\r\nplease\r\n--b\r\n{FILE}--b--"
    await office.post(office.letter(text, content_type="multipart/mixed; boundary=b"))
    assert office.inbox.only.text == "web-1 uptime"
    assert set(office.inbox.only.remarks) == {"attachments", "rest"}


async def test_nothing_is_remarked_of_a_plain_command(office: Office) -> None:
    await office.post(office.letter())
    assert office.inbox.only.remarks == ()


async def test_when_it_was_sent_is_what_the_mail_says_unless_that_is_to_come(
    office: Office,
) -> None:
    for date in (
        "Mon, 02 Mar 2026 08:30:00 +0000",
        "Mon, 02 Mar 2026 17:30:00 +0900",
        "Mon, 02 Mar 2026 08:30:00 -0000",
    ):
        raw = office.letter().replace(
            b"Date: Mon, 02 Mar 2026 09:00:00 +0000", f"Date: {date}".encode()
        )
        await office.post(raw)
        assert office.inbox.messages[-1].sent_at.isoformat() == "2026-03-02T08:30:00+00:00"
    for date in ("Tue, 03 Mar 2026 08:30:00 +0000", "yesterday", "Mon, 99 Mar 99999999999 1"):
        raw = office.letter().replace(
            b"Date: Mon, 02 Mar 2026 09:00:00 +0000", f"Date: {date}".encode()
        )
        await office.post(raw)
        assert office.inbox.messages[-1].sent_at == office.clock()


# What cannot be read


@pytest.mark.parametrize(
    "raw",
    [
        b"From: a@b.example\nSubject: x\n\nbody",
        b"From: a@b.example\r\nSubject: x\nFrom: eve@evil.example\r\n\r\nbody",
        b"From: a@b.example\rFrom: eve@evil.example\r\n\r\nbody",
        b"From: a@b.example\r\nX: " + b"x" * 140_000 + b"\r\n\r\nbody",
    ],
)
def test_a_head_that_readers_may_take_differently_is_refused(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        read_letter(raw)


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"\r\n\r\n", b"From", b":\r\n\r\n", b" x\r\n\r\n"])
def test_a_mail_without_a_head_has_no_sender(raw: bytes) -> None:
    assert read_letter(raw).sender is None


@pytest.mark.parametrize("message_id", ["<", "<a b@c>", "<>", "x@y", "<a\x00b@c>"])
async def test_a_broken_message_id_is_none(office: Office, message_id: str) -> None:
    first = office.letter("web-1 one", message_id=message_id)
    second = office.letter("web-1 two", message_id=message_id)
    for raw in (first, second, first):
        assert (await office.post(raw))[0] == 250
    one, two, again = office.inbox.messages
    assert one.key == again.key != two.key
