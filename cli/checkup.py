"""What is configured, what is missing, and what to do about it."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import typer

from cli.desk import Answer, House, Json, house, refusal, say
from core.broker.wire import Wire
from core.durations import spell_duration
from core.errors import SettingsError, SkadiError
from core.settings import Secret, Settings
from core.store import Store

OLDEST_REDIS = (6, 2)
CLOCK_SLACK = 2.0
"""Seconds two clocks may differ before it is worth a word."""

Level = Literal["ok", "warn", "fail"]
