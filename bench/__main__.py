"""python -m bench: measures, and prints each figure beside what is wanted."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvloop

from bench.figures import Figure, heading, row
from bench.sections import SECTIONS, Plan

CORES = 2
OPEN_FILES = 20_000  # ten thousand connections, and room
DISK = Path("/var/tmp")  # /tmp is memory on many systems, where a commit costs nothing


def main() -> int:
    asked = arguments()
    share_two_cores()
    open_many_files()
    with own_folder():
        found = conditions()
        print("\n".join(found), heading(), sep="\n\n", flush=True)
        names = list(SECTIONS) if asked.section == "all" else [asked.section]
        figures, failed = uvloop.run(perform(names, Plan(asked.app.resolve(), asked.seconds)))
    if asked.json:
        results = {"conditions": found, "figures": [one.as_json() for one in figures]}
        asked.json.write_text(json.dumps(results, indent=2) + "\n")
    print(f"\n{summary(figures, failed)}")
    return int(failed or any(figure.faults for figure in figures))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="How much Skadi carries.")
    parser.add_argument("section", nargs="?", default="all", choices=[*SECTIONS, "all"])
    parser.add_argument("--seconds", type=float, default=10, help="that each figure is watched for")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument(
        "--app",
        type=Path,
        default=Path(__file__).parents[1] / "app.py",
        help="another checkout's app.py, to compare with",
    )
    return parser.parse_args()


def share_two_cores() -> None:
    """With all that we start, so that figures from a larger machine compare."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def open_many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = hard if hard != resource.RLIM_INFINITY else OPEN_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, ceiling), hard))


@contextmanager
def own_folder() -> Iterator[None]:
    """Everything temporary goes to a disk, and nobody else's server tidies it up."""
    with tempfile.TemporaryDirectory(prefix="skadi-bench-", dir=DISK) as folder:
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        yield


def conditions() -> list[str]:
    cores = len(os.sched_getaffinity(0))
    return [
        f"{time.strftime('%Y-%m-%d %H:%M')}, {platform.system()} {platform.release()},"
        f" {processor()}, Python {platform.python_version()}",
        f"Server, databases and the load share {cores} cores."
        f" A commit to this disk (4 KiB, fdatasync) takes {fdatasync_ms():.2f} ms.",
    ]


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def fdatasync_ms(times: int = 200) -> float:
    """The median."""
    took = []
    with tempfile.NamedTemporaryFile(buffering=0) as file:
        for _ in range(times):
            file.write(bytes(4096))
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - start)
    return sorted(took)[times // 2] * 1000


async def perform(names: Sequence[str], plan: Plan) -> tuple[list[Figure], bool]:
    """All figures of these sections, printed as they come, and whether a section broke off."""
    figures, failed = list[Figure](), False
    for name in names:
        section = SECTIONS[name]
        print(f"\n{section.__doc__}", flush=True)
        try:
            async for figure in section(plan):
                figures.append(figure)
                print(row(figure), flush=True)
        except Exception:  # the other sections can still be measured
            failed = True
            print(f"    {name} broke off:", flush=True)
            traceback.print_exc(file=sys.stdout)
    return figures, failed


def summary(figures: Sequence[Figure], failed: bool) -> str:
    if failed:
        return "The run is not complete: a section broke off."
    judged = [figure for figure in figures if figure.verdict]
    bad = [figure for figure in judged if figure.verdict != "reached"]
    if not judged:
        return "Nothing was wanted of these figures, and no run had a fault."
    if not bad:
        return f"Of {len(judged)} wanted figures all were reached, and no run had a fault."
    lines = [f"{figure.verdict}: {figure.name}" for figure in bad]
    return "\n".join([f"{len(bad)} of {len(judged)} wanted figures were NOT reached:", *lines])


if __name__ == "__main__":
    sys.exit(main())
