"""Skadi put together: settings → parts → roles; and the command line.

python app.py                  everything in one process
python app.py web worker       these roles only
python app.py agent add …      a command of the operator's
uvicorn app:app                the role web, served by another's hand
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from core.settings import COMMANDS, ROLES, Settings, load
