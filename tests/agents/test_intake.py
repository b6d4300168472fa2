"""A patient's past in a consultation: bounded evidence, dated images, and changes that cite both dates."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path

import numpy as np
import PIL.Image
import skimage.data
import yaml

from polyclinic import Case, Clinic, Image, Visit
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


def experts(report: Report) -> set[str]:
    """The tools that were run besides the gate."""
    return {item.source.name for item in report.evidence if item.source.kind == "tool"} - {"image_quality"}


RETINA = "package://skimage/data/retina.jpg"


def test_an_unstated_modality_is_taken_from_how_the_image_looks(tmp_path: Path) -> None:
    """The tools of the seen modality are run, the report says where it comes from, and a replay agrees."""
    report = consulted(Case(question="What is seen?", images=(Image(path=RETINA),)), tmp_path)
    assert any(
        note == "image-1: taken for a fundus photograph by how it looks; state its modality to be sure"
        for note in report.limitations
    )
    assert experts(report)
    assert not any("modality is not stated" in note for note in report.limitations)


def test_a_stated_modality_stays_and_a_contradiction_is_said(tmp_path: Path) -> None:
    report = consulted(
        Case(question="What is seen?", images=(Image(path=RETINA, modality="xray", body_part="chest"),)), tmp_path
    )
    said = "The image looks like a fundus photograph, but is stated to be: xray of the chest."
    assert f"image-1: {said}" in report.limitations
    assert not [name for name in experts(report) if name.startswith("fundus")]


def test_a_body_part_that_contradicts_gives_no_modality(tmp_path: Path) -> None:
    report = consulted(Case(question="What is seen?", images=(Image(path=RETINA, body_part="chest"),)), tmp_path)
    assert any("modality is not stated" in note for note in report.limitations)
    assert not any("taken for" in note for note in report.limitations)


def test_an_image_of_an_earlier_visit_that_is_the_same_picture_is_named(tmp_path: Path) -> None:
    retina = PIL.Image.fromarray(np.asarray(skimage.data.retina())).resize((700, 700))
    retina.save(tmp_path / "now.png")
    retina.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT).resize((500, 500)).save(tmp_path / "then.png")
    then = Visit(date=datetime.date(2024, 1, 1), images=(Image(path=str(tmp_path / "then.png"), modality="fundus"),))
    case = Case(
        question="Has it changed?", date=datetime.date(2025, 1, 1), visits=(then,),
        images=(Image(path=str(tmp_path / "now.png"), modality="fundus"),),
    )  # fmt: skip
    report = consulted(case, tmp_path / "runs")
    assert any(note.startswith("image-2 is the same picture as image-1, mirrored") for note in report.limitations)
