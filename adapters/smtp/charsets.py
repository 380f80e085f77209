"""Bytes to text as mail really is: charsets missing, unknown, or declared wrongly."""

from __future__ import annotations

import binascii
import quopri
import re
from email.errors import HeaderParseError
from email.header import decode_header

KNOWN = re.compile(
    r"(us-)?ascii|utf-?(8|16|16le|16be|16-le|16-be)|iso-?8859-\d{1,2}|windows-\d{3,4}|cp\d{3,4}|latin-?\d"
    r"|koi8-[ru]|big5(-hkscs)?|gb18030|hz-gb-2312|euc-(jp|kr|tw)|shift_?jis|iso-2022-(jp|kr)|tis-620"
    r"|mac(intosh|-?roman)"
)
"""Python knows more, some of it slow or no charset at all."""
CHINESE = re.compile(r"gb[_-]?2312.*|x-gbk|gbk|cp936|ms936|euc-cn|gb18030")
LONGEST_HEADER = 4096
HAN_PAIR = re.compile("[㐀-鿿]{2}")
LATIN = re.compile("[\x80-⺀]")


def decode(data: bytes, charset: str = "") -> str:
    """Text in any case: by the declared charset, then as UTF-8, then as Chinese if it looks so."""
    for name in (declared(charset), "utf-8"):
        try:
            return data.decode(name)
        except (LookupError, ValueError):
            continue
    return guess(data)


def declared(charset: str) -> str:
    name = charset.strip(" \"'").lower()
    if CHINESE.fullmatch(name):
        # What is called gb2312 in mail is GBK; gb18030 holds both.
        return "gb18030"
    return name if KNOWN.fullmatch(name) else "ascii"


def guess(data: bytes) -> str:
    try:
        text = data.decode("gb18030")
    except ValueError:
        return data.decode("latin-1")
    return text if HAN_PAIR.search(text) and not LATIN.search(text) else data.decode("latin-1")


def decode_words(raw: bytes) -> str:
    """A header's text, its encoded words (RFC 2047) decoded and 8-bit bytes understood."""
    text = raw[:LONGEST_HEADER].decode("latin-1")
    try:
        chunks = decode_header(text)
    except (HeaderParseError, ValueError, LookupError):
        return decode(raw[:LONGEST_HEADER])
    return "".join(
        decode(chunk if isinstance(chunk, bytes) else chunk.encode("latin-1"), charset or "")
        for chunk, charset in chunks
    )


def decode_transfer(data: bytes, encoding: str) -> bytes:
    """Undo a Content-Transfer-Encoding; damage costs what is damaged and no more."""
    match encoding:
        case "base64":
            letters = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
            whole = letters[: len(letters) - (len(letters) % 4 == 1)]
            return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))
        case "quoted-printable":
            return quopri.decodestring(data)
    return data
