"""The agent as one file that python3 runs, and the script that fetches it to a new machine."""

from __future__ import annotations

import io
import re
import shlex
import zipfile
from pathlib import Path

NAME = "skadi-agent.pyz"
PACKAGE = Path(__file__).parent
SHEBANG = b"#!/usr/bin/env python3\n"
# Whoever builds it, whenever: the same bytes, so that a digest can be written down.
MOMENT = (1980, 1, 1, 0, 0, 0)
MAIN = """\
import sys

if sys.version_info < (3, 9):
    sys.exit("skadi: this agent needs Python 3.9 or later, this is " + sys.version.split()[0])

from agent.__main__ import main

sys.exit(main())
"""


def archive() -> Path | None:
    """The one file that we run from, if we do."""
    return PACKAGE.parent if PACKAGE.parent.is_file() else None


def me() -> str:
    """How this program is called."""
    file = archive()
    return f"python3 {shlex.quote(str(file))}" if file else "python -m agent"


def bundle() -> bytes:
    """The program, the same bytes for the same sources."""
    running = archive()
    if running:
        return running.read_bytes()
    files = {f"agent/{file.name}": file.read_bytes() for file in PACKAGE.glob("*.py")}
    return pack({**files, "__main__.py": MAIN.encode()})


def source(name: str) -> bytes:
    """The text of one of our own modules, wherever we run from."""
    running = archive()
    if running is None:
        return (PACKAGE / name).read_bytes()
    with zipfile.ZipFile(running) as packed:
        return packed.read(f"agent/{name}")


def pack(files: dict[str, bytes]) -> bytes:
    """Not compressed: what a compressor makes of the same text differs between its versions."""
    packed = io.BytesIO()
    packed.write(SHEBANG)
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_STORED) as target:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, MOMENT)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            target.writestr(entry, files[name])
    return packed.getvalue()


def script(url: str, digest: str) -> str:
    """The text of install.py: what it is called with goes to `install`, a first bare word as the
    code. `url` is where Skadi answers, `digest` the sha256 of the bundle handed out there."""
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError("the digest is no sha256 in hexadecimal")
    return SCRIPT.format(url=url.rstrip("/"), digest=digest, name=NAME)


SCRIPT = '''\
"""Fetches the Skadi agent and installs it. Any Python from 3.9 on will do, and nothing else."""

import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.request

URL = {url!r}
DIGEST = {digest!r}


def main(arguments):
    if sys.version_info < (3, 9):
        return "skadi: the agent needs Python 3.9 or later, this is " + sys.version.split()[0]
    if arguments and not arguments[0].startswith("-"):
        arguments = ["--code", *arguments]
    try:
        with urllib.request.urlopen(URL + "/agent/{name}", timeout=60) as answer:
            program = answer.read()
    except OSError as error:
        return "skadi: the agent cannot be fetched from " + URL + ": " + str(error)
    if hashlib.sha256(program).hexdigest() != DIGEST:
        return "skadi: what came from " + URL + " is not the agent it promised; try once more"
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "{name}")
        with open(file, "wb") as stream:
            stream.write(program)
        return subprocess.call([sys.executable, "-I", file, "install", "--url", URL, *arguments])


sys.exit(main(sys.argv[1:]))
'''
