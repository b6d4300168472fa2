"""A series told in a sentence: which way it went, its values with their dates, and the evidence for each of them."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.knowledge.patient.courses import LITTLE, told, way
from polyclinic.knowledge.patient.timelines import Point, Timeline


def point(day: int, value: float, unit: str = "mm[Hg]", uncertainty: float | None = None) -> Point:
    date = datetime.date(2020, 1, 1) + datetime.timedelta(days=day)
    return Point(date=date, value=value, unit=unit, uncertainty=uncertainty, evidence=(f"history.v{day}",))


def line(*points: Point) -> Timeline:
    return Timeline(finding="Systolic Blood Pressure", points=points)


@pytest.mark.parametrize(
    ("first", "last", "uncertainty", "went"),
    [
        (100, 106, None, "rose"), (100, 105, None, "changed little"), (100, 95, None, "changed little"),
        (100, 94, None, "fell"), (100, 106, 3.0, "changed little"), (0, 0, None, "changed little"),
        (0, 1, None, "rose"), (-2, -3, None, "fell"),
    ],
)  # fmt: skip
def test_which_way(first: float, last: float, uncertainty: float | None, went: str) -> None:
    assert way(point(1, first, uncertainty=uncertainty), point(2, last, uncertainty=uncertainty)) == went


def test_first_last_and_the_extremes_between_are_told_and_cited() -> None:
    course = told(line(point(1, 107.864), point(2, 131.2), point(3, 125.893)))
    assert course.text == (
        "Systolic Blood Pressure rose from 108 mmHg on 2020-01-02 to 126 mmHg on 2020-01-04; highest 131 mmHg on"
        " 2020-01-03."
    )
    assert course.evidence == ("history.v1", "history.v3", "history.v2")


def test_the_latest_stands_first_where_it_is_asked_for() -> None:
    assert told(line(point(1, 150), point(2, 120)), latest=True).text == (
        "Systolic Blood Pressure was 120 mmHg on 2020-01-03, the latest value; it fell from 150 mmHg on 2020-01-02."
    )
    assert told(line(point(1, 120), point(2, 121)), latest=True).text == (
        "Systolic Blood Pressure was 121 mmHg on 2020-01-03, the latest value; it changed little since 120 mmHg on"
        " 2020-01-02."
    )


def test_a_value_alone_and_values_of_other_units_are_not_compared() -> None:
    alone = told(line(point(1, 16, "kPa"), point(2, 120)))
    assert alone.text == "Systolic Blood Pressure was 120 mmHg on 2020-01-03: no other value to compare."
    assert alone.evidence == ("history.v2",)


values = st.lists(st.floats(0.01, 1e5), min_size=2, max_size=6)


@given(values)
def test_every_value_that_is_told_is_cited(series: list[float]) -> None:
    points = [point(day, value) for day, value in enumerate(series)]
    course = told(line(*points))
    assert {f"history.v{day}" for day, one in enumerate(points) if one.date.isoformat() in course.text} == set(
        course.evidence
    )
    assert {"history.v0", f"history.v{len(series) - 1}"} <= set(course.evidence)
    assert ("changed little" in course.text) == (abs(series[-1] - series[0]) <= LITTLE * series[0] + 1e-9)
