"""The patient's past: stable ids, dates relative to the case, and courses judged by the reference interval."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.case import Case, Lab, Visit
from polyclinic.knowledge.patient import history
from polyclinic.knowledge.patient.history import changes, left_out, visit_evidence

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


def long_case(visits: int = 40, labs: int = 2, report: str = "Well.") -> Case:
    return Case(
        question="?",
        visits=tuple(
            Visit(
                date=FIRST + datetime.timedelta(days=number),
                reports=(f"{report} Day {number}.",),
                conditions=("Hypertension", f"Cold {number}"),
                medications=("Ramipril 5 mg",),
                labs=tuple(lab(100 + number, f"Test {n}", low=None, high=None) for n in range(labs)),
            )
            for number in range(visits)
        ),
    )


def test_conditions_and_medications_are_evidence_with_their_date() -> None:
    visit = Visit(date=FIRST, reports=("Well.",), conditions=("Gout",), medications=("Allopurinol",), labs=(lab(140),))
    found = visit_evidence(Case(question="?", visits=(visit,)))
    assert [item.content for item in found] == [
        "Report of 2024-01-01: Well.", "Condition of 2024-01-01: Gout", "Medication of 2024-01-01: Allopurinol",
        "Sodium 140 mmol/L on 2024-01-01 (reference 135 to 145)",
    ]  # fmt: skip
    assert {item.date for item in found} == {FIRST}
    assert left_out(Case(question="?", visits=(visit,))) == ()


def test_a_long_record_is_bounded_and_says_what_was_left_out() -> None:
    case = long_case()
    found = visit_evidence(case)
    by_kind = {
        kind: [item for item in found if item.content.startswith(kind)]
        for kind in ("Report", "Condition", "Medication", "Test 0", "Test 1")
    }
    assert [len(items) for items in by_kind.values()] == [12, 40, 40, 3, 3]
    assert by_kind["Report"][0].content == "Report of 2024-01-29: Well. Day 28."
    assert [item.value for item in by_kind["Test 0"]] == [137, 138, 139]
    assert by_kind["Condition"][-2].content == "Condition of 2024-02-09: Hypertension"
    assert left_out(case) == (
        "of the patient's record the newest entries were read; left out as older or noted again later: "
        "40 conditions, 28 reports, 74 values",
    )


def test_the_number_of_an_item_does_not_depend_on_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    case = long_case()
    shown = {item.id: item for item in visit_evidence(case)}
    for name in ("REPORTED_VISITS", "CONDITIONS", "MEDICATIONS", "VALUES", "LAB_NAMES"):
        monkeypatch.setattr(history, name, 1000)
    everything = {item.id: item for item in visit_evidence(case)}
    assert list(everything) == [f"history.v{n}" for n in range(1, 40 * 6 + 1)]
    assert left_out(case) == ()
    assert shown.items() <= everything.items()


def test_long_reports_are_bounded_together_but_the_newest_is_always_shown() -> None:
    reports = [item for item in visit_evidence(long_case(report="x" * 9000)) if item.content.startswith("Report")]
    assert [item.content[-7:] for item in reports] == ["Day 38.", "Day 39."]
    reports = [item for item in visit_evidence(long_case(report="x" * 90_000)) if item.content.startswith("Report")]
    assert [item.content[-7:] for item in reports] == ["Day 39."]


def test_the_tests_measured_last_are_kept() -> None:
    old = Visit(date=FIRST, labs=tuple(lab(1, f"Old {n}") for n in range(30)))
    new = Visit(date=SECOND, labs=tuple(lab(1, f"New {n}") for n in range(30)))
    case = Case(question="?", visits=(old, new))
    names = [item.name for item in visit_evidence(case)]
    assert len(names) == history.LAB_NAMES
    assert {f"New {n}" for n in range(30)} < set(names)


def test_a_value_that_a_change_cites_is_always_shown() -> None:
    first = Visit(date=FIRST, labs=(lab(140),))
    between = [Visit(date=SECOND + datetime.timedelta(days=n), labs=(lab(5, unit="mg/dL"),)) for n in range(5)]
    case = Case(question="?", visits=(first, *between, Visit(date=THIRD, labs=(lab(130),))))
    (change,) = changes(case)
    shown = {item.id for item in visit_evidence(case)}
    assert set(change.evidence) <= shown
    assert change.evidence == ("history.v1", "history.v7")
    assert len(shown) == 4
