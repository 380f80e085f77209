#!/bin/sh
# Writes requirements.lock (what runs) and requirements-dev.lock (that, and what tests it) from
# pyproject.toml, for every Python and platform we support. A version already locked stays unless
# pyproject.toml forbids it; remove both files first to take the newest of everything.
set -eu
cd "$(dirname "$0")/.."

uv=.venv/bin/uv
[ -x "$uv" ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv

compile() { # lock file, further arguments of uv
    lock=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate "$@" --output-file "$lock" pyproject.toml >/dev/null
}

compile requirements.lock
compile requirements-dev.lock --group dev --constraint requirements.lock
