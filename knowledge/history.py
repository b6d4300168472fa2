"""The patient's earlier visits as evidence, and how laboratory values moved between the last two. It reads no image."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from ..core.case import Case, Lab
from ..core.evidence import Evidence, Source
from ..core.report import Change, Course
from .criteria import same_unit

STABLE = 0.10
"""Two abnormal values are stable when their distances outside the reference interval differ by at most this share of
the earlier distance plus the interval's width (of the limit itself, where only one is known). A choice of ours, no
guideline's: biological and analytical variation differ from one test to the next."""


class _Measured(NamedTuple):
    visit: int
    date: datetime.date
    lab: Lab
    evidence: Evidence


def visit_evidence(case: Case) -> tuple[Evidence, ...]:
    """One piece of evidence for each report and each laboratory value of the visits: `history.v1`… oldest first."""
    return tuple(evidence for _, _, _, evidence in _items(case))


def changes(case: Case) -> tuple[Change, ...]:
    """How each laboratory value of two or more visits moved from the last but one to the last; sorted by name.

    Each value is judged by its own reference interval [low, high], or by the other's where it has none. `new`: it
    left the interval, or passed from below to above it or back. `resolved`: it came back inside. `worse`, `better`:
    further outside, or less far, by more than STABLE. `stable`: else, and when both are inside.

    Values in different units are never compared: the last is compared with the newest earlier one in its own unit and
    the detail names those left out. Where nothing can be compared (no common unit, or no reference interval) there is
    no change to state and none is returned; the values themselves stand in `visit_evidence`.
    """
    series: dict[str, list[_Measured]] = {}
    for visit, date, lab, evidence in _items(case):
        if lab is not None:
            series.setdefault(_name(lab), []).append(_Measured(visit, date, lab, evidence))
    found = (_change(values) for _, values in sorted(series.items()))
    return tuple(change for change in found if change is not None)


def _items(case: Case) -> list[tuple[int, datetime.date, Lab | None, Evidence]]:
    """Reports, then laboratory values, of each visit: visit number, date, the value if it is one, its evidence."""
    items: list[tuple[int, datetime.date, Lab | None, Evidence]] = []
    for number, visit in enumerate(case.visits):
        when = _when(visit.date, case.date)
        source = Source(kind="visit", name=f"visit of {visit.date.isoformat()}")
        for report in visit.reports:
            key = f"history.v{len(items) + 1}"
            evidence = Evidence(id=key, kind="prior_visit", content=f"Report of {when}: {report}", source=source)
            items.append((number, visit.date, None, evidence))
        for lab in visit.labs:
            evidence = Evidence(
                id=f"history.v{len(items) + 1}",
                kind="prior_visit",
                content=f"{lab.name} {_shown(lab)} on {when}{_interval(lab)}",
                name=lab.name,
                value=lab.value,
                unit=lab.unit,
                source=source,
            )
            items.append((number, visit.date, lab, evidence))
    return items


def _change(values: list[_Measured]) -> Change | None:
    last = values[-1]
    earlier = [item for item in values if item.visit < last.visit]
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
    return Change(finding=last.lab.name, course=course, detail=detail, evidence=(before.evidence.id, last.evidence.id))


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
    return f"{lab.value:g} {lab.unit}".strip()


def _interval(lab: Lab) -> str:
    if lab.low is None and lab.high is None:
        return ""
    low = "" if lab.low is None else f"{lab.low:g}"
    high = "" if lab.high is None else f"{lab.high:g}"
    return f" (reference {low} to {high})" if low and high else f" (reference {'from ' + low if low else 'to ' + high})"


def _name(lab: Lab) -> str:
    return " ".join(lab.name.lower().split())
