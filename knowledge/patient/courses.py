"""How a series of dated values went, told in one sentence with the values it rests on. It judges no value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..units import same_unit, shown
from .timelines import Point, Timeline

LITTLE = 0.05
"""Two values differ little when they are apart by at most this share of the first, or by no more than their
uncertainties. A choice of ours, no guideline's: biological and analytical variation differ from test to test."""

Way: TypeAlias = Literal["rose", "fell", "changed little"]


@dataclass(frozen=True, kw_only=True)
class Told:
    """A sentence, and the ids of the evidence that its values come from."""

    text: str
    evidence: tuple[str, ...]


def way(first: Point, last: Point) -> Way:
    """Which way a value went from one point to another of the same unit."""
    moved = last.value - first.value
    # The last digits of a difference of decimals are noise, not change.
    if abs(moved) <= max(LITTLE * abs(first.value), (first.uncertainty or 0.0) + (last.uncertainty or 0.0)) + 1e-9:
        return "changed little"
    return "rose" if moved > 0 else "fell"


def told(line: Timeline, *, latest: bool = False) -> Told:
    """First and last value with their dates, which way it went, and the lowest and highest where they are others.

    With `latest` the newest value stands first. Only values in the unit of the newest are compared.
    """
    last = line.points[-1]
    points = [point for point in line.points if same_unit(point.unit) == same_unit(last.unit)]
    first = points[0]
    if first is last:
        return Told(text=f"{line.finding} was {_shown(last)}: no other value to compare.", evidence=last.evidence)
    went = way(first, last)
    if latest and went == "changed little":
        text = f"{line.finding} was {_shown(last)}, the latest value; it changed little since {_shown(first)}"
    elif latest:
        text = f"{line.finding} was {_shown(last)}, the latest value; it {went} from {_shown(first)}"
    elif went == "changed little":
        text = f"{line.finding} changed little, by no more than a twentieth: {_shown(first)}, {_shown(last)}"
    else:
        text = f"{line.finding} {went} from {_shown(first)} to {_shown(last)}"
    lowest, highest = min(points, key=lambda point: point.value), max(points, key=lambda point: point.value)
    between = [
        (word, point)
        for word, point in (("lowest", lowest), ("highest", highest))
        if point.value not in (first.value, last.value)
    ]
    text += "".join(f"; {word} {_shown(point)}" for word, point in between)
    cited = (first, last, *(point for _, point in between))
    return Told(text=f"{text}.", evidence=tuple(dict.fromkeys(name for point in cited for name in point.evidence)))


def _shown(point: Point) -> str:
    return f"{shown(point.value, point.unit)} on {point.date.isoformat()}"
