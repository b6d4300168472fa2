"""One finding in one place of the body over time: dated values, the right prior image, and what was measured to move.

It works on evidence and measures nothing itself: the same evidence always gives the same timelines and changes.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from ...core.canonical import canonical_json
from ...core.case import Case, Image, Laterality
from ...core.evidence import Evidence
from ...core.report import Change, Course
from ..units import same_unit

_Key: TypeAlias = tuple[str, str, str]
"""Tool, measurement and unit."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value on one date, with every piece of evidence that carries it."""

    date: datetime.date
    value: float
    unit: str
    uncertainty: float | None
    evidence: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The dated values of one finding, oldest first; `tool` is "" for a laboratory value.

    Values of one timeline may have different units and are then not to be compared.
    """

    finding: str
    modality: str = ""
    body_part: str = ""
    laterality: Laterality | None = None
    tool: str = ""
    points: tuple[Point, ...]


def timelines(evidence: Iterable[Evidence]) -> tuple[Timeline, ...]:
    """A timeline for each finding and region that has a value with a date, sorted by finding.

    Values of earlier visits and of tools are taken; what has no date has no place on a timeline. What two specialists
    measured alike on one date is one point.
    """
    found: dict[tuple[str, ...], list[Evidence]] = {}
    for item in evidence:
        if item.value is not None and item.name and item.date and item.source.kind in ("visit", "tool"):
            tool = item.source.name if item.source.kind == "tool" else ""
            region = (item.modality, _plain(item.body_part), item.laterality or "")
            found.setdefault((_plain(item.name), *region, tool), []).append(item)
    return tuple(_timeline(items) for _, items in sorted(found.items()))


def prior_image(case: Case, image: Image) -> Image | None:
    """The earlier image that `image` is to be compared with: the newest of the same place taken before it.

    Same modality and body part; the same side, or neither of one side; the same view, or one not stated. An image's
    date is when it was acquired, else that of its visit, else the case's. An earlier image without a date is none, and
    without a date of its own `image` counts as the newest. Among images of one date the one of the same view is taken.
    """
    dates = image_dates(case)
    until = dates.get(image)
    earlier = [
        (date, other.view == image.view, canonical_json(other.model_dump(mode="json")), other)
        for other, date in dates.items()
        if other != image and date and (until is None or date < until) and _same_place(other, image)
    ]
    return max(earlier, key=lambda found: found[:3])[3] if earlier else None


def image_dates(case: Case) -> dict[Image, datetime.date | None]:
    """When each image of the case was taken, as far as it is known."""
    dates = {image: image.acquired or case.date for image in case.images}
    for visit in case.visits:
        for image in visit.images:
            dates.setdefault(image, image.acquired or visit.date)
    return dates


def measured_changes(case: Case, evidence: Iterable[Evidence]) -> tuple[Change, ...]:
    """How each value that one tool measured on an image and on its prior moved, with both dates; sorted by finding,
    those of a known uncertainty first.

    `stable`: the two values with their uncertainties overlap, or they are equal. Else `increased` or `decreased`: which
    of them is the better is not known here. An image that is the prior of a newer one is not compared again. Where a
    tool gave two different values for images that cannot be told apart (two slices of one day), nothing is compared,
    nor are positions and lengths in pixels, which depend on how a picture was framed.
    """
    dates = image_dates(case)
    pairs = {image: prior_image(case, image) for image in dates}
    measured = [i for i in evidence if i.value is not None and i.source.kind == "tool" and i.unit != "px"]
    priors, found = set(pairs.values()), dict[tuple[bool, str, str], Change]()
    for image, prior in pairs.items():
        if prior is None or image in priors:
            continue
        now, before = _values(image, case, measured), _values(prior, case, measured)
        for key in now.keys() & before.keys():
            change = _change(before[key], now[key], (dates[prior], dates[image]), image)
            unsure = any(item.uncertainty is None for item in (*before[key], *now[key]))
            found[unsure, change.finding, change.detail] = change
    return tuple(change for _, change in sorted(found.items()))


def _same_place(one: Image, other: Image) -> bool:
    sides = {image.laterality if image.laterality != "bilateral" else None for image in (one, other)}
    views = {_plain(image.view) for image in (one, other) if image.view}
    known = one.modality is not None and one.modality == other.modality
    return known and _plain(one.body_part) == _plain(other.body_part) and len(sides) == 1 and len(views) <= 1


def _values(image: Image, case: Case, measured: list[Evidence]) -> dict[_Key, list[Evidence]]:
    """What tools measured on `image`: by tool, name and unit, without what is not one value."""
    date = image_dates(case)[image]
    place = (image.modality or "", image.body_part or "", image.view or "", image.laterality, date)
    found: dict[_Key, list[Evidence]] = {}
    for item in measured:
        if (item.modality, item.body_part, item.view, item.laterality, item.date or case.date) == place:
            found.setdefault((item.source.name, item.name, same_unit(item.unit)), []).append(item)
    return {key: items for key, items in found.items() if len({(i.value, i.uncertainty) for i in items}) == 1}


def _change(
    before: list[Evidence], now: list[Evidence], dates: tuple[datetime.date | None, ...], image: Image
) -> Change:
    first, last = before[0], now[0]
    side = {None: "", "bilateral": ""}.get(image.laterality, f"{image.laterality} ")
    finding = ", ".join(filter(None, (_plain(last.name), f"{side}{_plain(image.body_part)}".strip())))
    detail = f"{_plain(last.name)} {_shown(first)} on {dates[0]} to {_shown(last)} on {dates[1]}"
    unsure = first.uncertainty is None or last.uncertainty is None
    return Change(
        finding=finding,
        course=_course(first, last),
        detail=detail + (" (the tool states no uncertainty)" if unsure else ""),
        evidence=(*sorted(item.id for item in before), *sorted(item.id for item in now)),
    )


def _course(before: Evidence, now: Evidence) -> Course:
    moved = (now.value or 0.0) - (before.value or 0.0)
    # The last digits of a difference of decimals are noise, not change.
    if abs(moved) <= (before.uncertainty or 0.0) + (now.uncertainty or 0.0) + 1e-9:
        return "stable"
    return "increased" if moved > 0 else "decreased"


def _timeline(items: list[Evidence]) -> Timeline:
    points: dict[tuple[datetime.date, float, str, float | None], list[str]] = {}
    for item in items:
        if item.date is not None and item.value is not None:
            points.setdefault((item.date, item.value, item.unit, item.uncertainty), []).append(item.id)
    last = max(items, key=lambda item: (item.date or datetime.date.min, item.id))
    return Timeline(
        finding=last.name,
        modality=last.modality,
        body_part=_plain(last.body_part),
        laterality=last.laterality,
        tool=last.source.name if last.source.kind == "tool" else "",
        points=tuple(
            Point(date=date, value=value, unit=unit, uncertainty=uncertainty, evidence=tuple(sorted(ids)))
            for (date, value, unit, uncertainty), ids in sorted(points.items(), key=lambda found: _order(*found))
        ),
    )


def _order(point: tuple[datetime.date, float, str, float | None], ids: list[str]) -> tuple[datetime.date, int, str]:
    """By date; on one date in the order in which evidence was numbered (`history.v9` before `history.v10`)."""
    first = min(ids, key=lambda name: (len(name), name))
    return point[0], len(first), first


def _shown(item: Evidence) -> str:
    spread = "" if item.uncertainty is None else f" ± {item.uncertainty:g}"
    return f"{item.value:g}{spread} {'' if item.unit == '1' else item.unit}".strip()


def _plain(name: str | None) -> str:
    return " ".join((name or "").replace("_", " ").lower().split())
