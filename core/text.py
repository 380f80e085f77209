"""Text as others take it."""

from __future__ import annotations


def clean(text: str) -> str:
    """Text that every database and platform takes: no NUL, no half of a surrogate pair."""
    text = text.replace("\0", "�")
    return text if is_encodable(text) else text.encode(errors="replace").decode()


def is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
