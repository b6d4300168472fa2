"""The patient's earlier visits as evidence, and how laboratory values moved between the last two. It reads no image.

Every agent reads this evidence, so it is bounded: what a long record holds beyond the bounds is counted, not shown.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ...core.case import Case, Lab
from ...core.evidence import Evidence, Source
from ...core.report import Change, Course
from ..units import rounded, same_unit, shown
from .asked import asked, unrecorded

STABLE = 0.10
"""Two abnormal values are stable when their distances outside the reference interval differ by at most this share of
the earlier distance plus the interval's width (of the limit itself, where only one is known). A choice of ours, no
guideline's: biological and analytical variation differ from one test to the next."""

REPORTED_VISITS = 12
"""The newest visits with reports whose reports are shown."""

REPORT_CHARACTERS = 20_000
"""The newest reports are shown as long as they are no longer than this together; the very newest always is."""

CONDITIONS = 40
MEDICATIONS = 40
"""The most of each that are shown. Beyond that, what is noted again at a later visit is shown once, as noted last, and
of these the newest."""

VALUES = 3
LAB_NAMES = 40
"""The newest values that are shown of each laboratory test, and the most tests, those measured last."""

ASKED_VALUES = 24
"""The most values that are shown of a test the question asks about: the first, and the newest."""

Kind: TypeAlias = Literal["report", "condition", "medication", "value"]
_PLURAL: dict[Kind, str] = {
    "report": "reports", "condition": "conditions", "medication": "medications", "value": "values",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Item:
    """One thing that a visit says, under the number it has among all that the visits say."""

    number: int
    visit: int
    date: datetime.date
    kind: Kind
    text: str
    lab: Lab | None = None

    @property
    def id(self) -> str:
        return f"history.v{self.number}"


@dataclass(frozen=True, kw_only=True)
class _Measured:
    item: _Item
    lab: Lab

    @property
    def date(self) -> datetime.date:
        return self.item.date


def visit_evidence(case: Case) -> tuple[Evidence, ...]:
    """What the visits say, within the bounds above, oldest first: a piece for each report, condition, medication and
    laboratory value. The numbers of `history.v1`… count everything, so an id does not depend on the bounds.

    `history.n1`… say which measurements the question asks about that no visit has.
    """
    items = _items(case)
    kept = _kept(items, case.question)
    shown = (_evidence(item, case.date) for item in items if item.number in kept)
    names = [lab.name for visit in case.visits for lab in visit.labs]
    missing = unrecorded(case.question, names) if case.visits else ()
    return (*shown, *(_missing(number, name) for number, name in enumerate(missing, start=1)))


def _missing(number: int, name: str) -> Evidence:
    return Evidence(
        id=f"history.n{number}", kind="observation", name="not recorded",
        content=f"The earlier visits hold no value of {name}.", source=Source(kind="visit", name="all earlier visits"),
    )  # fmt: skip


def left_out(case: Case) -> tuple[str, ...]:
    """The limitation that follows from the bounds, if anything was left out."""
    items = _items(case)
    kept = _kept(items, case.question)
    counts = Counter(item.kind for item in items if item.number not in kept)
    if not counts:
        return ()
    named = ", ".join(f"{count} {_PLURAL[kind] if count > 1 else kind}" for kind, count in sorted(counts.items()))
    return (f"of the patient's record the newest entries were read; left out as older or noted again later: {named}",)


def lab_text(lab: Lab) -> str:
    """A value with its name, unit and reference interval, as far as they are known."""
    return f"{lab.name} {_shown(lab)}{_interval(lab)}"


def changes(case: Case) -> tuple[Change, ...]:
    """How each laboratory value of two or more visits moved from the last but one to the last; sorted by name.

    Each value is judged by its own reference interval [low, high], or by the other's where it has none. `new`: it
    left the interval, or passed from below to above it or back. `resolved`: it came back inside. `worse`, `better`:
    further outside, or less far, by more than STABLE. `stable`: else, and when both are inside.

    Values in different units are never compared: the last is compared with the newest earlier one in its own unit and
    the detail names those left out. Where nothing can be compared (no common unit, or no reference interval) there is
    no change to state and none is returned; the values themselves stand in `visit_evidence`.
    """
    return _changes(_series(_items(case)))


def _changes(series: dict[str, list[_Measured]]) -> tuple[Change, ...]:
    found = (_change(values) for _, values in sorted(series.items()))
    return tuple(change for change in found if change is not None)


def _series(items: Iterable[_Item]) -> dict[str, list[_Measured]]:
    """The values of each laboratory test, oldest first."""
    series: dict[str, list[_Measured]] = {}
    for item in items:
        if item.lab is not None:
            series.setdefault(_same(item.lab.name), []).append(_Measured(item=item, lab=item.lab))
    return series


def _items(case: Case) -> list[_Item]:
    """Everything that the visits say, oldest visit first: reports, conditions, medications, laboratory values."""
    items: list[_Item] = []
    for visit, said in enumerate(case.visits):
        texts: tuple[tuple[Kind, tuple[str, ...]], ...] = (
            ("report", said.reports), ("condition", said.conditions), ("medication", said.medications),
        )  # fmt: skip
        found: list[tuple[Kind, str, Lab | None]] = [(kind, text, None) for kind, all_ in texts for text in all_]
        found += [("value", lab_text(lab), lab) for lab in said.labs]
        items += [
            _Item(number=number, visit=visit, date=said.date, kind=kind, text=text, lab=lab)
            for number, (kind, text, lab) in enumerate(found, start=len(items) + 1)
        ]
    return items


def _evidence(item: _Item, today: datetime.date | None) -> Evidence:
    when, lab = _when(item.date, today), item.lab
    told = f"{item.kind.capitalize()} of {when}: {item.text}"
    return Evidence(
        id=item.id,
        kind="prior_visit",
        content=told if lab is None else f"{lab.name} {_shown(lab)} on {when}{_interval(lab)}",
        name="" if lab is None else lab.name,
        value=None if lab is None else lab.value,
        unit="" if lab is None else lab.unit,
        source=Source(kind="visit", name=f"visit of {item.date.isoformat()}"),
        date=item.date,
    )


def _kept(items: list[_Item], question: str) -> set[int]:
    """The numbers of what all agents are shown; every value that a change cites is among them."""
    series = _series(items)
    wanted = [series[name] for name in asked(question, series)]
    newest = sorted(series.values(), key=lambda values: -values[-1].item.number)[:LAB_NAMES]
    cited = {name for change in _changes(series) for name in change.evidence}
    return {
        *(value.item.number for values in newest for value in values[-VALUES:]),
        *(value.item.number for values in wanted for value in (values[0], *values[1 - ASKED_VALUES :])),
        *(item.number for item in items if item.id in cited),
        *_newest_reports([item for item in items if item.kind == "report"]),
        *_newest_once([item for item in items if item.kind == "condition"], CONDITIONS),
        *_newest_once([item for item in items if item.kind == "medication"], MEDICATIONS),
    }


def _newest_reports(reports: list[_Item]) -> set[int]:
    visits = sorted({item.visit for item in reports})[-REPORTED_VISITS:]
    kept: set[int] = set()
    characters = 0
    for item in reversed([item for item in reports if item.visit in visits]):
        characters += len(item.text)
        if kept and characters > REPORT_CHARACTERS:
            break
        kept.add(item.number)
    return kept


def _newest_once(items: list[_Item], most: int) -> set[int]:
    if len(items) <= most:
        return {item.number for item in items}
    last = {_same(item.text): item.number for item in items}
    return set(sorted(last.values())[-most:])


def _change(values: list[_Measured]) -> Change | None:
    last = values[-1]
    earlier = [item for item in values if item.item.visit < last.item.visit]
    comparable = [item for item in earlier if same_unit(item.lab.unit) == same_unit(last.lab.unit)]
    if not comparable:
        return None
    before = comparable[-1]
    course = _course(before.lab, last.lab)
    if course is None:
        return None
    detail = f"{last.lab.name} {_shown(before.lab)} on {before.date} to {_shown(last.lab)} on {last.date}"
    detail += _interval(last.lab) or _interval(before.lab)
    skipped = [item for item in earlier[earlier.index(before) + 1 :] if item not in comparable]
    if skipped:
        detail += "; not compared, other unit: " + ", ".join(f"{_shown(i.lab)} on {i.date}" for i in skipped)
    return Change(finding=last.lab.name, course=course, detail=detail, evidence=(before.item.id, last.item.id))


def _course(before: Lab, last: Lab) -> Course | None:
    """The course from one value to the next; None when neither has a reference interval."""
    limits = [(lab.low, lab.high) for lab in (last, before) if (lab.low, lab.high) != (None, None)]
    if not limits:
        return None
    was, now = _outside(before, limits[-1]), _outside(last, limits[0])
    if now == 0:
        return "stable" if was == 0 else "resolved"
    if was == 0 or (was < 0) != (now < 0):
        return "new"
    low, high = limits[0]
    width = high - low if low is not None and high is not None else abs(low or high or 0.0)
    moved = abs(now) - abs(was)
    # The last digits of a difference of decimals are noise, not change.
    if abs(moved) <= STABLE * (abs(was) + width) + 1e-9:
        return "stable"
    return "worse" if moved > 0 else "better"


def _outside(lab: Lab, limits: tuple[float | None, float | None]) -> float:
    """How far the value lies outside the interval: negative below it, positive above, 0 inside."""
    low, high = limits
    if low is not None and lab.value < low:
        return lab.value - low
    if high is not None and lab.value > high:
        return lab.value - high
    return 0.0


def _when(date: datetime.date, today: datetime.date | None) -> str:
    if today is None:
        return date.isoformat()
    days = (today - date).days
    unit = "day" if abs(days) == 1 else "days"
    return f"{date.isoformat()} ({f'{days} {unit} before' if days >= 0 else f'{-days} {unit} after'} this case)"


def _shown(lab: Lab) -> str:
    """The value rounded, unless that would move it across a limit of its reference interval."""
    limits = (lab.low, lab.high)
    near = lab.model_copy(update={"value": rounded(lab.value)})
    sides = [(there > 0) - (there < 0) for there in (_outside(lab, limits), _outside(near, limits))]
    return shown(lab.value, lab.unit) if sides[0] == sides[1] else f"{lab.value:g} {lab.unit}".strip()


def _interval(lab: Lab) -> str:
    if lab.low is None and lab.high is None:
        return ""
    low = "" if lab.low is None else f"{lab.low:g}"
    high = "" if lab.high is None else f"{lab.high:g}"
    return f" (reference {low} to {high})" if low and high else f" (reference {'from ' + low if low else 'to ' + high})"


def _same(name: str) -> str:
    return " ".join(name.lower().split())
