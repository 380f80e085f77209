"""Errors as HTTP answers: the one place where a SkadiError becomes a status."""

from __future__ import annotations

import logging
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from core.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    SkadiError,
    TooLarge,
    TooMany,
    Unauthorized,
    Unavailable,
)
from web.answer import Answer, Headers, in_json

STATUS: dict[type[SkadiError], int] = {
    Invalid: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    TooMany: 429,
    Unavailable: 503,
}
STATUS_OF_CODE = {"KeyReused": 422, "Timeout": 408}
"""Codes that HTTP has a status of its own for."""

MESSAGES = {404: "There is nothing at this path.", 405: "This path takes another method."}

HEADERS: dict[int, Headers] = {401: [(b"www-authenticate", b"Bearer")]}

# The parts that may be away for a moment, by the libraries whose errors tell of it.
PARTS = {"sqlalchemy", "sqlite3", "aiosqlite", "aiomysql", "pymysql", "redis", "hiredis"}

log = logging.getLogger(__name__)


def refusal(error: Exception) -> Answer:
    """The answer to a call that failed. What was not expected is told to the log alone."""
    if isinstance(error, SkadiError):
        return refused(status_of(error), error.code, error.message)
    log.error("a call failed", exc_info=error)
    if is_passing(error):
        return refused(503, "Unavailable", "A part of the server is away; try again later.")
    return refused(500, "Internal", "Something went wrong here; the server's log says what.")


def refused(status: int, code: str, message: str, headers: Headers = ()) -> Answer:
    fields = {"error": code, "message": message}
    return in_json(status, fields, [*HEADERS.get(status, ()), *headers])


def status_of(error: SkadiError) -> int:
    kinds = (STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    return STATUS_OF_CODE.get(error.code) or next(kinds, 500)


def is_passing(error: Exception) -> bool:
    """Whether the same call may go through later, as a network or a database was at fault."""
    libraries = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, OSError) or not PARTS.isdisjoint(libraries)


async def refuse(request: Request, error: Exception) -> Response:
    """For routes that are not Endpoints, and for paths and methods that lead nowhere."""
    if isinstance(error, HTTPException):
        return as_response(refusal_of_http(error))
    return as_response(refusal(error))


def refusal_of_http(error: HTTPException) -> Answer:
    status, given = error.status_code, error.headers or {}
    headers = [(name.lower().encode(), value.encode()) for name, value in given.items()]
    code = "".join(filter(str.isalpha, HTTPStatus(status).phrase.title()))
    return refused(status, code, MESSAGES.get(status, error.detail), headers)


def as_response(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    response.raw_headers = list(answer.start["headers"])
    return response
