"""What can go wrong, as a tree.

AgentError
├── ConfigError      skadi.yml, the environment or a flag is wrong
├── JournalError     the journal cannot be locked, read or written
├── Failed           raised by a handler: the job failed and this is its result
└── ServerError
    ├── Unreachable  no answer, or none that counts: worth another try
    └── Refused      a final no of the server
        └── BadToken the server does not know this token
"""

from __future__ import annotations

from .bundle import me


class AgentError(Exception):
    pass


class ConfigError(AgentError):
    pass


class JournalError(AgentError):
    pass


class Failed(AgentError):
    pass


class ServerError(AgentError):
    status: int


class Unreachable(ServerError):
    """`status` is 0 when there was no answer at all."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Refused(ServerError):
    def __init__(self, status: int, key: str, message: str) -> None:
        super().__init__(f"{status} {key}: {message}" if message else f"{status} {key}")
        self.status = status
        self.key = key


class BadToken(Refused):
    def __init__(self) -> None:
        super().__init__(401, "Unauthorized", "")

    def __str__(self) -> str:
        return (
            "the server does not know this token: it was rotated or revoked, or it belongs to "
            "another server. Ask for a line and paste it here (in the chat: agent line NAME), or for "
            f"a token (agent rotate NAME), write it into skadi.yml ({me()} TOKEN) and start again"
        )
