"""Which disasters strike and when: drawn by a seed, so that the same plan can be made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Literal

Way = Literal["there", "back"]
"""From who asks to who answers, and back."""


class Deed(StrEnum):
    KILLED = "killed"
    STOPPED = "stopped"
    EMPTIED = "emptied"
    CUT = "cut"


@dataclass(frozen=True)
class Kind:
    """`seconds`: for how long, at least and at most. `weight`: how often beside the others."""

    deed: Deed
    victims: Sequence[str]
    weight: int
    seconds: tuple[float, float] = (0, 0)


SERVERS = ("web-1", "web-2", "worker-1", "worker-2", "watcher-1", "watcher-2", "smtp")
NEW = ("new-1", "new-2", "new-3")
OLD = ("old-1", "twin-1", "twin-2")

KINDS = {
    "web killed": Kind(Deed.KILLED, SERVERS[0:2], 8, (0, 2)),
    "worker killed": Kind(Deed.KILLED, SERVERS[2:4], 8, (0, 2)),
    "watcher killed": Kind(Deed.KILLED, SERVERS[4:6], 5, (0, 2)),
    "smtp killed": Kind(Deed.KILLED, SERVERS[6:], 5, (0, 2)),
    "all of these killed": Kind(Deed.KILLED, ["all"], 2, (0, 1)),
    "agent killed": Kind(Deed.KILLED, NEW, 10, (0, 2)),
    "old agent killed": Kind(Deed.KILLED, OLD, 5, (0, 2)),
    "redis emptied": Kind(Deed.EMPTIED, ["redis"], 8),
    "redis killed": Kind(Deed.KILLED, ["redis"], 4, (0, 3)),
    "mysql killed": Kind(Deed.KILLED, ["mysql"], 3, (0, 2)),
    "mysql stopped": Kind(Deed.STOPPED, ["mysql"], 3, (1, 6)),
    "line to web cut": Kind(Deed.CUT, ["web-1", "web-2"], 20),
    "line to smtp cut": Kind(Deed.CUT, ["smtp"], 4),
    "line to mysql cut": Kind(Deed.CUT, ["mysql"], 10),
    "line to redis cut": Kind(Deed.CUT, ["redis"], 10),
}
LONGEST_CUT = 600
"""Bytes: most answers are shorter than that, so that most cuts fall into one."""
MOST_LINES = 4
AT_ONCE = 0.2
"""The share of the disasters that strike together with the one before."""
EACH = 50
"""Jobs for a disaster, when there are many."""


@dataclass(frozen=True)
class Disaster:
    """`share`: how much of everything has happened when it strikes. A cut falls behind `after`
    bytes, one for each line that is cut."""

    share: float
    name: str
    deed: Deed
    victim: str
    seconds: float = 0
    way: Way = "back"
    after: Sequence[int] = ()


def draw(seed: int, jobs: int) -> list[Disaster]:
    """Each kind once, then by weight."""
    dice = Random(seed)  # noqa: S311 - a plan that nobody can guess could not be repeated
    names = list(KINDS)
    dice.shuffle(names)
    weights = [kind.weight for kind in KINDS.values()]
    names += dice.choices(list(KINDS), weights, k=max(0, jobs // EACH - len(names)))
    dice.shuffle(names)
    share, step, drawn = 0.03, 0.9 / len(names), list[Disaster]()
    for name in names:
        drawn.append(draw_one(dice, name, share))
        share += 0 if dice.random() < AT_ONCE else step
    return drawn


def draw_one(dice: Random, name: str, share: float) -> Disaster:
    kind = KINDS[name]
    victim = dice.choice(kind.victims)
    if kind.deed is not Deed.CUT:
        return Disaster(share, name, kind.deed, victim, dice.uniform(*kind.seconds))
    after = [dice.randint(1, LONGEST_CUT) for _ in range(dice.randint(1, MOST_LINES))]
    return Disaster(share, name, kind.deed, victim, 0, dice.choice(["there", "back"]), after)
