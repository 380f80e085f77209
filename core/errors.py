"""The errors of Skadi, as a tree a reader can hold in the head.

SkadiError                  something we say no to, with a code and the facts
├── Invalid                 the request cannot be understood or is not allowed to be like that
├── Unauthorized            we do not know who speaks
├── Forbidden               we know who speaks, and it may not
├── NotFound                there is no such thing for the one who asks
├── Conflict                it was true a moment ago; somebody was first
├── TooLarge                more than we take
├── TooMany                 slower, please
└── Unavailable             a part of ours is away; the same call may go through later
SettingsError               the settings cannot be used; the program does not start

An error carries a `code` (CamelCase, as on the wire) and `facts`; web/errors.py turns it into an
HTTP answer, bots/notices.py into words.
"""

from __future__ import annotations


class SkadiError(Exception):
    """Something refused. `code` is stable and for programs; the message is one sentence for people."""

    code = "Error"

    def __init__(self, message: str, *, code: str | None = None, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.facts = facts


class Invalid(SkadiError):
    code = "InvalidInput"


class Unauthorized(SkadiError):
    code = "Unauthorized"


class Forbidden(SkadiError):
    code = "Forbidden"


class NotFound(SkadiError):
    code = "NotFound"


class Conflict(SkadiError):
    code = "Conflict"


class TooLarge(SkadiError):
    code = "TooLarge"


class TooMany(SkadiError):
    code = "TooMany"


class Unavailable(SkadiError):
    code = "Unavailable"


class SettingsError(Exception):
    """The settings cannot be used. The message names the key and what is allowed."""
