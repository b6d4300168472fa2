"""The patient's past: stable ids, dates relative to the case, and courses judged by the reference interval."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.case import Case, Lab, Visit
from polyclinic.knowledge.history import changes, visit_evidence

FIRST, SECOND, THIRD = (datetime.date(2024, month, 1) for month in (1, 3, 5))


def lab(
    value: float, name: str = "Sodium", unit: str = "mmol/L", low: float | None = 135, high: float | None = 145
) -> Lab:
    return Lab(name=name, value=value, unit=unit, low=low, high=high)


def case_of(*labs: Lab, date: datetime.date | None = None) -> Case:
    days = (FIRST, SECOND, THIRD)
    visits = tuple(Visit(date=day, labs=(item,)) for day, item in zip(days, labs, strict=False))
    return Case(question="?", visits=visits, date=date)


def test_reports_and_labs_become_evidence_oldest_first() -> None:
    late = Visit(date=SECOND, reports=("Clear lungs.",), labs=(lab(128), lab(7, "Potassium", low=None, high=5)))
    early = Visit(date=FIRST, reports=("Small effusion.", "Echo normal."))
    case = Case(question="?", visits=(late, early), date=datetime.date(2024, 3, 2))
    found = visit_evidence(case)
    assert [item.id for item in found] == [f"history.v{n}" for n in range(1, 6)]
    assert [item.content for item in found] == [
        "Report of 2024-01-01 (61 days before this case): Small effusion.",
        "Report of 2024-01-01 (61 days before this case): Echo normal.",
        "Report of 2024-03-01 (1 day before this case): Clear lungs.",
        "Sodium 128 mmol/L on 2024-03-01 (1 day before this case) (reference 135 to 145)",
        "Potassium 7 mmol/L on 2024-03-01 (1 day before this case) (reference to 5)",
    ]
    assert (found[3].name, found[3].value, found[3].unit) == ("Sodium", 128, "mmol/L")
    assert {item.kind for item in found} == {"prior_visit"}
    assert {item.source.kind for item in found} == {"visit"}


def test_without_a_case_date_the_date_stands_alone() -> None:
    contents = [item.content for item in visit_evidence(case_of(lab(140, low=None, high=None)))]
    assert contents == ["Sodium 140 mmol/L on 2024-01-01"]
    after = case_of(lab(140), date=datetime.date(2023, 12, 30))
    assert "(2 days after this case)" in visit_evidence(after)[0].content


@pytest.mark.parametrize(
    ("before", "last", "course"),
    [
        (140, 141, "stable"),
        (140, 130, "new"),
        (130, 140, "resolved"),
        (130, 122, "worse"),
        (122, 130, "better"),
        (130, 129, "stable"),
        (130, 150, "new"),
        (150, 145, "resolved"),
        (135, 134.9, "new"),
    ],
)
def test_course_by_distance_outside_the_interval(before: float, last: float, course: str) -> None:
    (change,) = changes(case_of(lab(before), lab(last)))
    assert change.course == course
    assert change.finding == "Sodium"
    assert change.evidence == ("history.v1", "history.v2")
    assert f"{before:g} mmol/L on 2024-01-01 to {last:g} mmol/L on 2024-03-01" in change.detail


def test_only_the_last_two_of_three_visits_count() -> None:
    (change,) = changes(case_of(lab(120), lab(140), lab(150)))
    assert (change.course, change.evidence) == ("new", ("history.v2", "history.v3"))


def test_a_one_sided_interval_and_one_borrowed_from_the_other_visit() -> None:
    (change,) = changes(case_of(lab(5.6, low=None, high=5.0), lab(6.6, low=None, high=None)))
    assert change.course == "worse"
    (change,) = changes(case_of(lab(12, low=13, high=None), lab(10, low=13, high=None)))
    assert change.course == "worse"


def test_other_units_are_never_compared_and_said() -> None:
    (change,) = changes(case_of(lab(140), lab(5, unit="mg/dL"), lab(130)))
    assert (change.course, change.evidence) == ("new", ("history.v1", "history.v3"))
    assert "not compared, other unit: 5 mg/dL on 2024-03-01" in change.detail
    assert changes(case_of(lab(140), lab(5, unit="mg/dL"))) == ()
    (same,) = changes(case_of(lab(140, unit="mmol/L"), lab(141, unit="mmol/l")))
    assert same.course == "stable"


def test_nothing_is_judged_without_an_interval_or_a_second_visit() -> None:
    assert changes(case_of(lab(140, low=None, high=None), lab(100, low=None, high=None))) == ()
    assert changes(case_of(lab(140))) == ()
    twice = Visit(date=FIRST, labs=(lab(140), lab(120)))
    assert changes(Case(question="?", visits=(twice,))) == ()


def test_changes_are_sorted_by_name_and_names_meet_whatever_their_case() -> None:
    visits = (
        Visit(date=FIRST, labs=(lab(140, "sodium"), lab(6, "Potassium", low=3.5, high=5))),
        Visit(date=SECOND, labs=(lab(130, "Sodium"), lab(4, "POTASSIUM", low=3.5, high=5))),
    )
    assert [(c.finding, c.course) for c in changes(Case(question="?", visits=visits))] == [
        ("POTASSIUM", "resolved"),
        ("Sodium", "new"),
    ]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=3), st.floats(-10, 10), st.floats(0, 10))
def test_a_value_inside_is_stable_or_resolved_and_outside_is_neither_resolved(
    values: list[float], low: float, width: float
) -> None:
    case = case_of(*(lab(value, low=low, high=low + width) for value in values))
    (change,) = changes(case)
    inside = [low <= value <= low + width for value in values]
    assert (change.course == "new") >= (inside[-2] and not inside[-1])
    assert (change.course in ("stable", "resolved")) >= inside[-1]
    assert (change.course == "resolved") == (inside[-1] and not inside[-2])
