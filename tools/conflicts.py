"""Where tools, or a tool and a report, contradict each other, in words that give each one's measured reliability.

Pure functions of evidence and cards. A contradiction is shown, never resolved: the attending decides. Findings are the
same when they have one id, for the ontology names what looks alike, not what is a kind of what.
"""

from __future__ import annotations

import datetime
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..core.case import Laterality
from ..core.evidence import Evidence
from ..knowledge.ontology import shipped_ontology
from ..knowledge.units import convert
from .card import Box, Figure, ToolCard
from .reported import stated_in

Says: TypeAlias = Literal["present", "absent", "undecided"]

_REPORT = "Report of "  # how the evidence of an earlier visit's report begins, unlike that of a condition or a drug


@dataclass(frozen=True, kw_only=True)
class Stance:
    """What one party takes to be there or not: a tool of an image, or a report of a day.

    `who` is the tool's name or, where it is `reported`, "the report of DATE". `image` is the blob a tool looked at, as
    far as its evidence names it, and `box_px` is where on it. `probability` is the tool's own, where it gives one;
    `reliability` is the figure that was measured for this finding or measurement, never one of another.
    """

    finding: str
    says: Says
    who: str
    reported: bool = False
    evidence: str = ""
    image: str = ""
    box_px: Box | None = None
    laterality: Laterality | None = None
    date: datetime.date | None = None
    probability: float | None = None
    reliability: Figure | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A value one tool measured on an image, with its uncertainty in the same unit."""

    name: str
    value: float
    unit: str
    uncertainty: float
    who: str
    image: str
    evidence: str = ""
    box_px: Box | None = None
    reliability: Figure | None = None


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """Two parties that contradict each other on `about`, a finding's id or a measurement's name.

    `who` and `evidence` hold the parties in the order of the sentence: who takes the finding to be there comes first,
    and of two values the lower.
    """

    about: str
    who: tuple[str, str]
    evidence: tuple[str, str]
    sentence: str


def conflicts(stances: Iterable[Stance], readings: Iterable[Reading] = ()) -> tuple[Conflict, ...]:
    """Every pair that contradicts each other, each once, sorted by what it is about; the order given does not matter.

    Stances contradict each other when one says present and the other absent of the same finding at the same place: two
    tools on one image or on images of the same known date, a tool and a report of the same date (or both of none), and
    on sides of which the absent one covers the present one. Readings do when two tools give the same measurement of one
    image and differ by more than both uncertainties together, in quadrature.
    """
    ordered = sorted(set(stances), key=repr)
    present = [stance for stance in ordered if stance.says == "present"]
    absent = [stance for stance in ordered if stance.says == "absent"]
    pairs = (pair for pair in itertools.product(present, absent) if _contradict(*pair))
    found = {_of_findings(*pair) for pair in pairs}
    measured = itertools.combinations(sorted(set(readings), key=repr), 2)
    found |= {conflict for pair in measured for conflict in _of_values(*pair)}
    return tuple(
        sorted(found, key=lambda conflict: (conflict.about, conflict.evidence, conflict.who, conflict.sentence))
    )


def stances(evidence: Iterable[Evidence], cards: Mapping[str, ToolCard]) -> tuple[Stance, ...]:
    """What tools say of findings, and what the reports of earlier visits say of them; `cards` are by tool name.

    A tool's evidence that has no region is compared by its date alone, for it does not say which image it is of.
    """
    found: list[Stance] = []
    for item in evidence:
        if item.kind == "prior_visit" and item.content.startswith(_REPORT):
            found += report_stances(item.content, item.date, evidence=item.id)
        elif item.source.kind == "tool" and item.finding and item.says:
            found.append(Stance(
                finding=item.finding, says=item.says, who=item.source.name, evidence=item.id,
                image=item.region.image if item.region else "", box_px=item.region.box_px if item.region else None,
                laterality=item.laterality, date=item.date,
                probability=item.value if item.kind == "classification" else None,
                reliability=_figure(cards.get(item.source.name), item.name, item.finding),
            ))  # fmt: skip
    return tuple(found)


def readings(evidence: Iterable[Evidence], cards: Mapping[str, ToolCard]) -> tuple[Reading, ...]:
    """What tools measured on an image with a known uncertainty; without one nothing can be said of a difference."""
    return tuple(
        Reading(
            name=item.name, value=item.value, unit=item.unit, uncertainty=item.uncertainty, who=item.source.name,
            image=item.region.image, evidence=item.id, box_px=item.region.box_px,
            reliability=_figure(cards.get(item.source.name), item.name),
        )
        for item in evidence
        if item.source.kind == "tool" and item.region is not None and item.region.image
        and item.value is not None and item.uncertainty is not None
    )  # fmt: skip


def report_stances(text: str, date: datetime.date | None = None, *, evidence: str = "") -> tuple[Stance, ...]:
    """The findings a report states and those it denies, with the side where it names one. Never raises."""
    who = f"the report of {date.isoformat()}" if date else "the report"
    return tuple(
        Stance(finding=finding, says=says, who=who, reported=True, evidence=evidence, laterality=side, date=date)
        for finding, says, side in stated_in(text)
    )


def _contradict(present: Stance, absent: Stance) -> bool:
    if present.finding != absent.finding or present.who == absent.who:
        return False
    covers = absent.laterality in (None, "bilateral", present.laterality) or present.laterality == "bilateral"
    if present.image and present.image == absent.image:
        return _overlap(present.box_px, absent.box_px)
    two_tools = not (present.reported or absent.reported)
    same_day = present.date == absent.date and (present.date is not None or not two_tools)
    return same_day and covers


def _overlap(one: Box | None, other: Box | None) -> bool:
    """Whether two boxes share a pixel; where one is not known the whole image is meant."""
    if one is None or other is None:
        return True
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across > 0 and down > 0


def _of_findings(present: Stance, absent: Stance) -> Conflict:
    name = next((item.name for item in shipped_ontology() if item.id == present.finding), present.finding)
    side = f" on the {present.laterality}" if present.laterality in ("left", "right") else ""
    side = " on both sides" if present.laterality == "bilateral" else side
    first = f"{_party(present)} takes {name}{side} to be present{_chance(present)}"
    if present.reported:
        first = f"{present.who} states {name}{side}"
    second = f"{_party(absent)} takes it to be absent{_chance(absent)}"
    if absent.reported:
        second = f"{absent.who} denies it"
    return Conflict(
        about=present.finding,
        who=(present.who, absent.who),
        evidence=(present.evidence, absent.evidence),
        sentence=f"{first}; {second}.",
    )


def _of_values(one: Reading, other: Reading) -> Iterator[Conflict]:
    """The conflict of two readings of the same quantity, if there is one."""
    if one.who == other.who or one.image != other.image or one.name != other.name:
        return
    moved = convert(other.value, other.unit, one.unit)
    upper = convert(other.value + other.uncertainty, other.unit, one.unit)
    if moved is None or upper is None or not _overlap(one.box_px, other.box_px):
        return
    joint = math.hypot(one.uncertainty, upper - moved)
    if abs(one.value - moved) <= joint:
        return
    low, high = (one, other) if one.value <= moved else (other, one)
    name = one.name.replace("_", " ")
    yield Conflict(
        about=one.name,
        who=(low.who, high.who),
        evidence=(low.evidence, high.evidence),
        sentence=f"{_party(low)} measures {name} as {_shown(low)}, {_party(high)} as {_shown(high)}: "
        "they differ by more than both uncertainties together.",
    )


def _party(item: Stance | Reading) -> str:
    """The tool, with the figure measured for it."""
    figure = item.reliability
    if figure is None:
        return f"{item.who} (reliability not measured)"
    return f"{item.who} ({figure.metric} {figure.value:g}, n = {figure.n})"


def _chance(stance: Stance) -> str:
    return "" if stance.probability is None else f" with a probability of {stance.probability:g}"


def _shown(reading: Reading) -> str:
    unit = "" if reading.unit == "1" else f" {reading.unit}"
    return f"{reading.value:g}{unit} ± {reading.uncertainty:g}"


def _figure(card: ToolCard | None, *about: str) -> Figure | None:
    """The card's figure for the measurement, else for the finding; None where none was measured for either."""
    figures = card.figures if card else ()
    return next((figure for name in about for figure in figures if name in figure.about), None)
