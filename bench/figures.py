"""The figures of a run, each shown beside what is wanted and beside the bare route's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.meter import CLIENT, REST

PARTS = ("web", "worker", "db", "redis", CLIENT, REST)
DISTURBED = 0.3
"""Cores that others took, from which on a figure says more about them than about us."""


@dataclass(frozen=True, slots=True)
class Figure:
    """`bare`: the empty route's, in the same unit, or in requests where `calls` of them make one.

    A fault makes the figure worthless, however good it looks."""

    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    bare: float | None = None
    calls: int = 1
    cpu: Mapping[str, float] = field(default_factory=dict)
    remark: str = ""
    faults: Mapping[str, int] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return self.value * self.calls / self.bare if self.bare else None

    @property
    def verdict(self) -> str:
        if self.faults:
            return "INVALID"
        if self.at_least is None and self.at_most is None:
            return ""
        missed = self.value < (self.at_least or 0) or self.value > (self.at_most or float("inf"))
        return "MISSED" if missed else "reached"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "at_least": self.at_least,
            "at_most": self.at_most,
            "verdict": self.verdict,
            "bare": self.bare,
            "ratio": self.ratio,
            "cpu": dict(self.cpu),
            "remark": self.remark,
            "faults": dict(self.faults),
        }


def heading() -> str:
    cpu = "".join(f"{part:>7}" for part in PARTS)
    names = f"{'':46}{'measured':>14}{'wanted':>10} {'':8}{'bare':>9}{'ratio':>8}  "
    return f"{names}{'cores busy':^42}\n{'':{len(names)}}{cpu}"


def row(figure: Figure) -> str:
    cpu = "".join(f"{share(figure.cpu.get(part)):>7}" for part in PARTS)
    measured = f"{number(figure.value)} {figure.unit}"
    line = (
        f"{figure.name:46}{measured:>14}{wanted(figure):>10} {figure.verdict:8}"
        f"{number(figure.bare):>9}{number(figure.ratio):>8}  {cpu}"
    )
    return "\n".join([line.rstrip(), *notes(figure)])


def notes(figure: Figure) -> list[str]:
    remarks = [figure.remark] if figure.remark else []
    if (rest := figure.cpu.get(REST, 0)) > DISTURBED:
        remarks.append(f"DISTURBED: other work took {rest:.2f} cores meanwhile; measure again")
    faults = [f"{fault} ({times} ×)" for fault, times in list(figure.faults.items())[:5]]
    return [f"    {text}" for text in [*remarks, *faults]]


def wanted(figure: Figure) -> str:
    if figure.at_least is not None:
        return f"≥ {number(figure.at_least)}"
    return "" if figure.at_most is None else f"≤ {number(figure.at_most)}"


def number(value: float | None) -> str:
    """Without decimals from a hundred on, with two below."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"


def share(cores: float | None) -> str:
    return "" if cores is None else f"{cores:.2f}"
