"""The embedded engine abstains where word matching would mislead."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyclinic import Case, Clinic, Image

XRAY = {"modality": "xray", "body_part": "chest"}


def status(runs: Path, question: str, **fields: object) -> str:
    case = Case.model_validate({"question": question, **fields})
    return Clinic(runs=runs).consult_sync(case).status


@pytest.mark.parametrize(
    "options", [{"A": "yes", "B": "no"}, {"A": "no", "B": "yes"}, {"A": "pneumonia", "B": "no finding"}]
)
def test_nothing_is_chosen_for_an_image_that_nothing_measured(
    tmp_path: Path, noise: Path, options: dict[str, str]
) -> None:
    image = Image(path=str(noise), **XRAY)  # type: ignore[arg-type]
    question = "Is there pneumonia on this chest X-ray?"
    assert status(tmp_path / "r", question, images=[image], options=options) == "abstained"
    assert status(tmp_path / "r", question, images=[image]) == "abstained"


@pytest.mark.parametrize(
    "question",
    [
        "x", "second", "Is it cancer?", "Should I give 5000 mg of paracetamol?",
        "What is the reference range of potassium?", "Which gene causes zorblax syndrome?",
    ],
)  # fmt: skip
def test_chance_words_are_no_support(tmp_path: Path, question: str) -> None:
    assert status(tmp_path, question) == "abstained"


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("Capital of France?", {"A": "Paris", "B": "London"}),
        ("Is it safe to give penicillin after penicillin anaphylaxis?", {"A": "yes", "B": "no"}),
    ],
)
def test_options_need_more_than_a_word_in_a_passage(tmp_path: Path, question: str, options: dict[str, str]) -> None:
    assert status(tmp_path, question, options=options) == "abstained"


def test_a_passage_is_called_general_knowledge_and_no_confidence_is_claimed(tmp_path: Path) -> None:
    report = Clinic(runs=tmp_path).consult_sync(Case(question="What is hyperkalaemia?"))
    assert report.status == "answered"
    assert report.confidence is None
    assert report.claims
    assert all(claim.text.startswith("General knowledge: ") for claim in report.claims)
    assert {claim.support for claim in report.claims} == {"supported"}


def test_two_specialists_with_other_options_are_weighed_and_the_loser_is_kept() -> None:
    from polyclinic.agents.engines.embedded.attending import weigh
    from polyclinic.agents.tasks import Task, Verdict
    from polyclinic.core.report import Opinion

    opinions = tuple(
        Opinion(specialty=name, answer=f"{option}.", option=option, confidence=confidence)
        for name, option, confidence in (("cardiology", "A", 0.4), ("neurology", "B", 0.9), ("radiology", "A", 0.3))
    )
    case = Case(question="x?", options={"A": "one", "B": "two"})
    task = Task(kind="attending", agent="attending", schema=Verdict, case=case, opinions=opinions)
    verdict = weigh(task)
    assert verdict.option == "B"
    assert [dissent.specialty for dissent in verdict.dissent] == ["cardiology", "radiology"]
    assert "0.70 for A, 0.90 for B" in verdict.dissent[0].why_overruled


def pressures(*values: tuple[int, float, float]) -> list[dict[str, object]]:
    return [
        {
            "date": f"{year}-03-04",
            "labs": [
                {"name": "Body Mass Index", "value": 33.093, "unit": "kg/m2"},
                {"name": "Systolic Blood Pressure", "value": systolic, "unit": "mm[Hg]"},
                {"name": "Diastolic Blood Pressure", "value": diastolic, "unit": "mm[Hg]"},
                {"name": "Erythrocytes [#/volume] in Blood by Automated count", "value": 3.93906, "unit": "10*6/uL"},
            ],
        }
        for year, systolic, diastolic in values
    ]


def test_the_course_that_is_asked_for_stands_first_with_both_visits(tmp_path: Path) -> None:
    visits = pressures(
        (2014, 107.864, 80.1), *((year, 120.0, 81.0) for year in range(2015, 2019)), (2020, 125.893, 81.2)
    )
    case = Case.model_validate({"question": "How did her blood pressure go?", "visits": visits, "date": "2020-05-05"})
    report = Clinic(runs=tmp_path).consult_sync(case)
    first, second, *others = report.claims
    assert first.text == "Systolic Blood Pressure rose from 108 mmHg on 2014-03-04 to 126 mmHg on 2020-03-04."
    assert second.text == (
        "Diastolic Blood Pressure changed little, by no more than a twentieth: 80.1 mmHg on 2014-03-04, 81.2 mmHg on"
        " 2020-03-04."
    )
    assert report.answer.startswith(f"{first.text} {second.text}")
    dates = {item.id: str(item.date) for item in report.evidence}
    assert [dates[name] for name in first.evidence] == ["2014-03-04", "2020-03-04"]
    assert not any("Erythrocytes" in claim.text for claim in others)
    assert any("33.1 kg/m2" in claim.text for claim in others)
    assert {claim.support for claim in report.claims} == {"supported"}


def test_the_latest_value_is_given_where_it_is_asked_for(tmp_path: Path) -> None:
    visits = pressures((2014, 150.0, 90.0), (2020, 120.0, 80.0))
    case = Case.model_validate({"question": "What is his latest systolic blood pressure?", "visits": visits})
    report = Clinic(runs=tmp_path).consult_sync(case)
    assert report.answer.startswith(
        "Systolic Blood Pressure was 120 mmHg on 2020-03-04, the latest value; it fell from"
    )
