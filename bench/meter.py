"""What a stretch of time cost: how much was done, and which process was busy doing it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
CLIENT = "client"
REST = "rest"


@dataclass(frozen=True, slots=True)
class Window:
    """A measured stretch. `cpu` is in cores: 1.0 is one core, busy all the time.

    Its `rest` is what nobody we watch can answer for: other programs, and the kernel's own work."""

    seconds: float
    count: int
    cpu: Mapping[str, float]

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def costs(self) -> dict[str, float]:
        """Processor time of each process for one thing done, in microseconds."""
        each = 1e6 * self.seconds / max(self.count, 1)
        return {name: cores * each for name, cores in self.cpu.items() if name != REST}


async def measure(seconds: float, done: Callable[[], int], pids: Mapping[str, int]) -> Window:
    """Watch for so long; `done` says how much has been done since the beginning of the world."""
    watched = {**pids, CLIENT: os.getpid()}
    spent, all_spent = cpu_seconds(watched), busy_seconds()
    count, start = done(), time.perf_counter()
    await asyncio.sleep(seconds)
    took, count = time.perf_counter() - start, done() - count
    now, all_now = cpu_seconds(watched), busy_seconds()
    cpu = {name: (now[name] - spent[name]) / took for name in watched}
    rest = (all_now - all_spent) / took - sum(cpu.values())
    return Window(took, count, {**cpu, REST: max(rest, 0.0)})


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """User and system time of each process since it was started (proc(5), fields 14 and 15)."""
    return {name: _ticks(pid) / TICKS_A_SECOND for name, pid in pids.items()}


def _ticks(pid: int) -> int:
    # The second field is a name in parentheses that may hold spaces; count from behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def busy_seconds() -> float:
    """Time that the cores we run on were not idle (proc(5), /proc/stat: idle and iowait apart)."""
    ours = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    ticks = [map(int, line[1:4] + line[6:9]) for line in lines if line[0] in ours]
    return sum(map(sum, ticks)) / TICKS_A_SECOND


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)
