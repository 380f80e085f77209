#!/bin/sh
# setup.sh LOCK: makes .venv and installs what LOCK names, once for each content of LOCK.
set -eu
cd "$(dirname "$0")/.."

lock=${1:-requirements.lock}
python=${PYTHON:-python3}
log=.venv/setup.log
stamp=.venv/.installed-$(basename "$lock")

say() { printf '%s\n' "$@" >&2; }
die() { say "$@"; exit 1; }

has_packages() { # are the packages of this lock in .venv, and does its Python still run?
    [ "$(cat "$stamp" 2>/dev/null)" = "$(fingerprint)" ] && .venv/bin/python -c '' 2>/dev/null
}

fingerprint() { cksum <"$lock"; }

demand_python() { # the interpreter
    command -v "$1" >/dev/null 2>&1 ||
        die "Skadi needs Python 3.11 or newer, and there is no $1. Another is named so: make PYTHON=/path/to/python3.12 …"
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "Skadi needs Python 3.11 or newer; $1 is $("$1" -V 2>&1). Another is named so: make PYTHON=/path/to/python3.12 …"
}

# Debian ships Python without ensurepip, and venv finds that out only when half of .venv is made.
demand_ensurepip() {
    "$python" -c 'import ensurepip' 2>/dev/null && return
    package=python3.$("$python" -c 'import sys; print(sys.version_info[1])')-venv
    command -v apt-get >/dev/null 2>&1 || die "This Python has no ensurepip; install your system's package for venv."
    [ "$(id -u)" = 0 ] || die "This Python cannot make a virtual environment yet. Run this, then make again:" \
        "  sudo apt-get install -y $package"
    say "Installing $package …"
    {
        apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$package"
    } >"$apt_log" 2>&1 || { cat "$apt_log" >&2; die "Installing $package failed."; }
}

make_venv() {
    demand_python "$python"
    demand_ensurepip
    clear=
    # A link to a Python that is gone would be kept by venv.
    if [ -L .venv/bin/python ] && [ ! -e .venv/bin/python ]; then clear=--clear; fi
    "$python" -m venv $clear .venv
}

install_packages() {
    .venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off \
        --require-hashes --requirement "$lock" >"$log" 2>&1 ||
        { tail -n 40 "$log" >&2; die "The packages could not be installed; the whole story is in $log."; }
}

has_packages && exit 0

apt_log=$(mktemp)
trap 'rm -f "$apt_log"' EXIT
say "Setting up (once, about a minute) …"
.venv/bin/python -m pip --version >/dev/null 2>&1 || make_venv
demand_python .venv/bin/python
install_packages
fingerprint >"$stamp"
