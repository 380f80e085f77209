"""The fields of a body: an object in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from core.errors import Invalid

NO_JSON = "The body is not valid JSON."


def parse(body: bytes) -> dict[str, Any]:
    """An empty body has no fields. Raises Invalid."""
    try:
        return as_object(orjson.loads(body) if body.strip() else {})
    except orjson.JSONDecodeError as error:
        raise Invalid(NO_JSON) from error


def as_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid("The body must be a JSON object.")
    return value


def text_of(fields: Mapping[str, Any], name: str) -> str:
    """The text of a field; empty where it is absent or null."""
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Invalid(f"The field {name} must be a string.")
    return value
