"""python -m chaos [jobs=10000] [seed=…]: says what was lost, doubled and untold; 0 if nothing was."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from chaos.run import run
from chaos.table import report
from tests.servers import MariaDB, Redis

USAGE = "usage: make chaos [ARGS='jobs=10000 seed=7']"


@dataclass(frozen=True)
class Wanted:
    jobs: int
    seed: int


def main(words: Sequence[str]) -> int:
    try:
        wanted = understand(words)
    except ValueError as error:
        print(f"{error}\n{USAGE}", file=sys.stderr)
        return 2
    return perform(wanted)


def understand(words: Sequence[str]) -> Wanted:
    """ValueError says what is wrong."""
    values = {"jobs": 10_000, "seed": SystemRandom().randrange(1, 1_000_000)}
    for word in words:
        name, _, value = word.partition("=")
        if name not in values or not value.isdecimal():
            raise ValueError(f"{word!r} is neither jobs=<number> nor seed=<number>.")
        values[name] = int(value)
    if not values["jobs"]:
        raise ValueError("At least one job, please.")
    return Wanted(**values)


def perform(wanted: Wanted) -> int:
    """Nothing stays behind but the logs, and those only if something went wrong."""
    folder = Path(tempfile.mkdtemp(prefix="skadi-chaos-"))
    say(f"{wanted.jobs:,} jobs. The same plan again: make chaos ARGS='{again(wanted)}'")
    with MariaDB(fast=True) as maria, Redis() as redis:
        outcome = run(folder, maria, redis, wanted.jobs, wanted.seed, say)
    say("\n".join(["", *report(outcome), ""]))
    if not outcome.verdict.good:
        say(f"Something promised was not kept ({again(wanted)}). Logs: {folder}")
        return 1
    say(f"Nothing lost, nothing doubled, nothing untold ({again(wanted)}).")
    shutil.rmtree(folder)
    return 0


def again(wanted: Wanted) -> str:
    return f"jobs={wanted.jobs} seed={wanted.seed}"


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
