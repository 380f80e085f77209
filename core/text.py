"""Text as others take it."""

from __future__ import annotations

from unicodedata import category


def clean(text: str) -> str:
    """Text that every database and platform takes: no NUL, no half of a surrogate pair."""
    text = text.replace("\0", "�")
    return text if is_encodable(text) else text.encode(errors="replace").decode()


def one_line(text: str, longest: int) -> str:
    """A foreign text on one line, cut, with nothing in it that could turn or hide what is read."""
    words = " ".join(clean(text[: 4 * longest]).split())
    return "".join(char for char in words if category(char) not in ("Cc", "Cf"))[:longest].strip()


def is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
