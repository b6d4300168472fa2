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
