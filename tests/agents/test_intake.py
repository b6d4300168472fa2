"""A patient's past in a consultation: bounded evidence, dated images, and changes that cite both dates."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path

import yaml

from polyclinic import Case, Clinic, Visit
from polyclinic.agents import roles
from polyclinic.core.report import Report
from polyclinic.core.runs import report_text

EXAMPLES = Path(roles.__file__).parents[1] / "examples"


def consulted(case: Case, runs: Path) -> Report:
    """The report, which a replay gives back exactly."""
    clinic = Clinic(runs=runs)
    report = clinic.consult_sync(case)
    assert report_text(asyncio.run(clinic.replay(report.trace.path))) == report_text(report)
    return report


def test_two_dated_photographs_are_compared_with_both_dates(tmp_path: Path) -> None:
    case = Case.model_validate(yaml.safe_load((EXAMPLES / "two_visits.yaml").read_text(encoding="utf-8")))
    report = consulted(case, tmp_path)
    courses = {change.finding: change.course for change in report.changes}
    assert courses["HbA1c"] == "worse"
    assert courses["vessel density, left eye"] == "stable"
    vessels = next(change for change in report.changes if change.finding.startswith("vessel density"))
    assert "on 2024-04-10" in vessels.detail
    assert "on 2025-04-02" in vessels.detail
    dates = {item.id: item.date for item in report.evidence}
    assert [dates[name] for name in vessels.evidence] == [datetime.date(2024, 4, 10), datetime.date(2025, 4, 2)]
    said = next(claim for claim in report.claims if claim.text.startswith("vessel density, left eye: stable"))
    assert said.support == "supported"
    assert not any("px" in change.detail for change in report.changes)


def test_visits_after_the_case_are_no_history(tmp_path: Path) -> None:
    """A case of 1987 knows nothing of 1988: no evidence, change, criterion, prior image or red flag comes of it."""
    raw = yaml.safe_load((EXAMPLES / "two_visits.yaml").read_text(encoding="utf-8"))
    case = Case.model_validate(raw)
    first, *_ = case.visits
    assert any(visit.images for visit in case.visits)
    early = case.model_copy(update={"date": first.date - datetime.timedelta(days=1), "id": "early"})
    report = consulted(early, tmp_path)
    assert not [item for item in report.evidence if item.kind == "prior_visit"]
    assert not [
        item for item in report.evidence if item.date and item.date > early.date and item.source.kind == "visit"
    ]
    assert report.changes == ()
    count = len(case.visits)
    assert f"{count} visits dated after the case were left out" in report.limitations
    same_day = consulted(case.model_copy(update={"date": first.date, "id": "same"}), tmp_path)
    assert {item.date for item in same_day.evidence if item.kind == "prior_visit"} == {first.date}
    left = "1 visit dated after the case was left out" if count == 2 else f"{count - 1} visits dated after the case"
    assert any(note.startswith(left) for note in same_day.limitations)
    without = consulted(early.model_copy(update={"visits": (), "id": "none"}), tmp_path)
    assert [(i.name, i.content) for i in report.evidence] == [(i.name, i.content) for i in without.evidence]


def test_a_long_record_is_bounded_and_the_report_says_so(tmp_path: Path) -> None:
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=30 * number) for number in range(30)]
    visits = tuple(Visit(date=day, reports=(f"Well, weight {70 + n} kg.",)) for n, day in enumerate(days))
    case = Case(question="What was noted?", visits=visits, metadata={"not_read": "Condition: without a date (2)"})
    report = consulted(case, tmp_path)
    assert sum(item.kind == "prior_visit" for item in report.evidence) == 12
    assert any(note.endswith("left out as older or noted again later: 18 reports") for note in report.limitations)
    assert "the patient's record was not read completely: Condition: without a date (2)" in report.limitations
