"""The first minute: an account and an agent to try things with, and what to paste to do so."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from core.accounts import Accounts, Keyring
from core.agents import Agents
from core.errors import NotFound, SkadiError
from core.model import Account

NAME = "demo"
PAUSE = 1.0
"""Seconds before an agent that ended is started again."""

MENU = """\
# What the demo agent runs; a fixed list, and nothing on it does any harm.
state: {state}
slots: 4

shortcuts:
  - short: hello
    cmd: "echo Hello from $(hostname)!"
  - short: date
    cmd: date
  - short: uptime
    cmd: uptime
  - short: sleep 5
    cmd: "sleep 5; echo Slept well."
  - short: fail
    cmd: "echo This one always fails.; exit 3"
commands:
  - prefix: echo
"""

# The agent ends when its input does: that is when this process is gone, however it went.
PROGRAM = """\
import os, signal, sys, threading
def watch():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
from agent.__main__ import main
sys.exit(main(["--grace", "1s"]))
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the pasted lines hold; kept in a file, so that they work after the next start too."""

    token: str = ""
    mail: str = ""
