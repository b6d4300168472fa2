"""Findings over time: dated points per region, the right prior image, and measured changes that cite both dates."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.case import Case, Image, Visit
from polyclinic.core.evidence import Evidence, Source
from polyclinic.core.report import Change
from polyclinic.knowledge.patient.timelines import measured_changes, prior_image, timelines

OLD, MIDDLE, NEW = (datetime.date(year, 5, 1) for year in (2022, 2023, 2024))
NUMBERS = itertools.count()


def image(acquired: datetime.date | None = None, **fields: Any) -> Image:
    stated = {"modality": "fundus", "body_part": "eye", "laterality": "left", "view": "macula", **fields}
    return Image(path=f"{next(NUMBERS)}.png", acquired=acquired, **stated)


def case_of(*images: Image, visits: tuple[Visit, ...] = (), date: datetime.date | None = None) -> Case:
    return Case(question="?", images=images, visits=visits, date=date)


def measured(on: Image, value: float, key: str = "a.t1", **fields: Any) -> Evidence:
    return Evidence(**{
        "id": key, "kind": "measurement", "content": "", "name": "vessel_density", "value": value, "unit": "%",
        "uncertainty": 1.5, "source": Source(kind="tool", name="fundus_vessels"), "modality": on.modality or "",
        "body_part": on.body_part or "", "view": on.view or "", "laterality": on.laterality, "date": on.acquired,
        **fields,
    })  # fmt: skip


def value(name: str, amount: float, date: datetime.date | None, key: str, unit: str = "mmol/L") -> Evidence:
    return Evidence(
        id=key, kind="prior_visit", content="", name=name, value=amount, unit=unit, date=date,
        source=Source(kind="visit", name="visit"),
    )  # fmt: skip


# The right prior


def test_the_newest_earlier_image_of_the_same_place() -> None:
    old, middle, new = image(OLD), image(MIDDLE), image(NEW)
    case = case_of(new, old, middle)
    assert prior_image(case, new) == middle
    assert prior_image(case, middle) == old
    assert prior_image(case, old) is None


@pytest.mark.parametrize(
    "other",
    [
        {"laterality": "right"},
        {"laterality": None},
        {"laterality": "bilateral"},
        {"view": "disc"},
        {"body_part": "chest"},
        {"body_part": None},
        {"modality": "oct"},
        {"modality": None},
    ],
)
def test_another_place_is_no_prior(other: dict[str, Any]) -> None:
    new = image(NEW)
    assert prior_image(case_of(new, image(OLD, **other)), new) is None


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        ({}, {"view": None}),
        ({"view": None}, {}),
        ({}, {"body_part": " Eye "}),
        ({}, {"view": "Macula"}),
        ({"laterality": None}, {"laterality": "bilateral"}),
        ({"body_part": None}, {"body_part": None}),
    ],
)
def test_the_same_place_said_otherwise_is_one(mine: dict[str, Any], other: dict[str, Any]) -> None:
    new, old = image(NEW, **mine), image(OLD, **other)
    assert prior_image(case_of(new, old), new) == old


def test_two_images_whose_modality_is_unknown_are_not_compared() -> None:
    new = image(NEW, modality=None)
    assert prior_image(case_of(new, image(OLD, modality=None)), new) is None


def test_a_later_one_and_one_of_the_same_day_are_no_priors() -> None:
    new = image(MIDDLE)
    assert prior_image(case_of(new, image(NEW), image(MIDDLE)), new) is None


def test_an_image_of_a_visit_has_the_visits_date_and_the_cases_image_the_cases() -> None:
    undated, acquired = image(), image(MIDDLE)
    visits = (Visit(date=NEW, images=(acquired,)), Visit(date=OLD, images=(undated,)))
    new = image()
    assert prior_image(case_of(new, visits=visits, date=datetime.date(2022, 6, 1)), new) == undated
    assert prior_image(case_of(new, visits=visits, date=NEW), new) == acquired
    assert prior_image(case_of(new, visits=visits, date=OLD), new) is None
    assert prior_image(case_of(new, visits=visits), new) == acquired
    assert prior_image(case_of(new, image()), new) is None


def test_of_one_date_the_same_view_is_taken_and_a_tie_is_settled_alike() -> None:
    new, unknown, same = image(NEW), image(OLD, view=None), image(OLD)
    assert prior_image(case_of(new, unknown, same), new) == same
    twins = [image(OLD), image(OLD), same]
    chosen = {prior_image(case_of(new, *order), new) for order in itertools.permutations(twins)}
    assert len(chosen) == 1
    assert chosen <= set(twins)


IMAGES = st.builds(
    image,
    st.none() | st.sampled_from([OLD, MIDDLE, NEW]),
    laterality=st.sampled_from(["left", "right", None]),
    view=st.sampled_from(["macula", "disc", None]),
)


@given(st.lists(IMAGES, max_size=5), st.lists(IMAGES, max_size=5), st.none() | st.just(NEW))
def test_a_prior_is_earlier_and_of_the_same_side(
    own: list[Image], past: list[Image], date: datetime.date | None
) -> None:
    case = case_of(*own, visits=(Visit(date=MIDDLE, images=tuple(past)),), date=date)
    for one in case.all_images():
        prior = prior_image(case, one)
        if prior is None:
            continue
        assert prior != one
        assert prior.laterality == one.laterality
        assert prior.view == one.view or None in (prior.view, one.view)
        mine = one.acquired or (date if one in own else MIDDLE)
        assert mine is None or (prior.acquired or (date if prior in own else MIDDLE) or NEW) < mine


# What was measured to move


@pytest.mark.parametrize(
    ("before", "now", "course"),
    [(10, 10, "stable"), (10, 13, "stable"), (10, 13.1, "increased"), (10, 6.9, "decreased"), (13, 10, "stable")],
)
def test_a_difference_within_the_combined_uncertainty_is_stable(before: float, now: float, course: str) -> None:
    old, new = image(OLD), image(NEW)
    (change,) = measured_changes(case_of(new, old), [measured(old, before, "a.t2"), measured(new, now, "a.t1")])
    assert change == Change(
        finding="vessel density, left eye",
        course=course,
        detail=f"vessel density {before:g} ± 1.5 % on 2022-05-01 to {now:g} ± 1.5 % on 2024-05-01",
        evidence=("a.t2", "a.t1"),
    )


def test_without_an_uncertainty_the_direction_is_said_and_that_it_is_missing() -> None:
    old, new = image(OLD), image(NEW)
    found = [
        measured(old, 700, "a.t1", name="density", unit="HU", uncertainty=None),
        measured(new, 690, "a.t2", name="density", unit="HU", uncertainty=None),
        measured(old, 10, "a.t3"),
        measured(new, 10, "a.t4"),
    ]
    sure, unsure = measured_changes(case_of(new, old), found)
    assert (sure.finding, sure.course) == ("vessel density, left eye", "stable")
    assert (unsure.finding, unsure.course) == ("density, left eye", "decreased")
    assert unsure.detail.endswith("(the tool states no uncertainty)")


def test_only_the_last_two_dates_are_compared() -> None:
    images = [image(OLD), image(MIDDLE), image(NEW)]
    evidence = [measured(one, 10 * number, f"a.t{number}") for number, one in enumerate(images, start=1)]
    (change,) = measured_changes(case_of(*images), evidence)
    assert change.evidence == ("a.t2", "a.t3")


@pytest.mark.parametrize(
    "other",
    [
        {"name": "disc_diameter"},
        {"unit": "mm"},
        {"source": Source(kind="tool", name="another_tool")},
        {"source": Source(kind="document", name="fundus_vessels")},
        {"laterality": "right"},
        {"unit": "px"},
    ],
)
def test_only_like_is_compared_with_like(other: dict[str, Any]) -> None:
    old, new = image(OLD), image(NEW)
    fields = other if other == {"unit": "px"} else {}
    evidence = [measured(old, 10, "a.t1", **other), measured(new, 20, "a.t2", **fields)]
    assert measured_changes(case_of(new, old), evidence) == ()


def test_what_two_specialists_measured_alike_is_one_change_and_two_slices_are_none() -> None:
    old, new = image(OLD), image(NEW)
    twice = [measured(on, amount, f"{who}.t1") for on, amount, who in ((old, 10, "a"), (old, 10, "b"), (new, 20, "c"))]
    (change,) = measured_changes(case_of(new, old), twice)
    assert change.evidence == ("a.t1", "b.t1", "c.t1")
    slices = [*twice, measured(new, 30, "c.t2")]
    assert measured_changes(case_of(new, image(NEW), old), slices) == ()


def test_the_order_of_evidence_does_not_matter() -> None:
    images = [image(OLD), image(NEW), image(OLD, laterality="right"), image(NEW, laterality="right")]
    evidence = [measured(one, number, f"a.t{number}") for number, one in enumerate(images)]
    evidence += [measured(one, number, f"b.t{number}", name="other") for number, one in enumerate(images)]
    expected = measured_changes(case_of(*images), evidence)
    assert [change.finding for change in expected] == [
        "other, left eye", "other, right eye", "vessel density, left eye", "vessel density, right eye",
    ]  # fmt: skip
    for order in itertools.islice(itertools.permutations(evidence), 0, 40_320, 997):
        assert measured_changes(case_of(*images), order) == expected


def test_an_image_without_a_date_has_the_cases() -> None:
    old, new = image(OLD), image()
    found = [measured(old, 10, "a.t1"), measured(new, 20, "a.t2")]
    (change,) = measured_changes(case_of(new, old, date=NEW), found)
    assert "on 2024-05-01" in change.detail


# Timelines


def test_values_of_visits_and_of_images_have_their_timelines() -> None:
    left, right = image(OLD), image(NEW, laterality="right")
    found = timelines([
        value("Potassium", 5.8, NEW, "history.v10"), value("potassium", 4.4, OLD, "history.v9"),
        measured(left, 10, "b.t1"), measured(left, 10, "a.t1"), measured(right, 12, "a.t2"),
        value("Sodium", 140, None, "history.v3"), value("", 1, OLD, "history.v4"),
    ])  # fmt: skip
    assert [(line.finding, line.body_part, line.laterality, line.tool) for line in found] == [
        ("Potassium", "", None, ""),
        ("vessel_density", "eye", "left", "fundus_vessels"),
        ("vessel_density", "eye", "right", "fundus_vessels"),
    ]
    assert [(point.date, point.value, point.unit, point.evidence) for point in found[0].points] == [
        (OLD, 4.4, "mmol/L", ("history.v9",)), (NEW, 5.8, "mmol/L", ("history.v10",)),
    ]  # fmt: skip
    assert [(point.value, point.uncertainty, point.evidence) for point in found[1].points] == [
        (10, 1.5, ("a.t1", "b.t1")),
    ]


def test_values_of_one_day_keep_the_order_of_their_numbers() -> None:
    found = [value("Potassium", amount, OLD, f"history.v{n}") for n, amount in ((10, 4.0), (9, 6.0), (11, 5.0))]
    (line,) = timelines(found)
    assert [point.value for point in line.points] == [6.0, 4.0, 5.0]


@given(st.permutations([
    value("a", 1, OLD, "history.v1"), value("A", 2, NEW, "history.v2"), value("b", 2, NEW, "history.v3"),
    measured(image(OLD), 3, "a.t1"), measured(image(OLD), 3, "b.t1"), measured(image(NEW), 4, "b.t2"),
]))  # fmt: skip
def test_timelines_do_not_depend_on_the_order_of_evidence(order: list[Evidence]) -> None:
    assert timelines(order) == timelines(sorted(order, key=lambda item: item.id))
    assert [len(line.points) for line in timelines(order)] == [2, 1, 2]
