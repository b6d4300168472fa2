"""What the embedded engine says first, of how much it is sure, and what it says of a calculator it cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import skimage.data

from polyclinic import Case, Clinic, Image
from polyclinic.agents.engines.embedded.wording import claim_of, told
from polyclinic.agents.tasks import ClaimDraft
from polyclinic.agents.verify import check_claim
from polyclinic.core.evidence import Evidence, Region, Source
from polyclinic.core.report import Report


def asked(runs: Path, question: str, **fields: object) -> Report:
    return Clinic(runs=runs).consult_sync(Case.model_validate({"question": question, **fields}))


def value(number: int, content: str, *, tool: str = "chest_lungs", **fields: Any) -> Evidence:
    return Evidence(
        id=f"radiology.t{number}", kind="measurement", content=content, source=Source(kind="tool", name=tool),
        region=Region(image="blob"), **fields,
    )  # fmt: skip


def texts(question: str, *evidence: Evidence) -> list[str]:
    return [claim.text for claim in told(map(claim_of, evidence), evidence, question)]


MIDLINE = value(1, "The midline lies 258 px from the left of the picture.", name="midline", value=258, unit="px")
HEART = value(2, "The transverse diameter of the heart is 117 px.", name="cardiac diameter", value=117, unit="px")
PNEUMONIA = value(
    3, "A trained model takes this radiograph for pneumonia, probability 0.88.", name="pneumonia_probability",
    value=0.88, unit="1", finding="pneumonia", tool="pneumonia",
)  # fmt: skip
RATIO = value(
    4, "The cardiothoracic ratio is 0.46.", name="cardiothoracic ratio", value=0.46, unit="1", uncertainty=0.06,
    of=("radiology.t2", "radiology.t1"), finding="cardiomegaly",
)  # fmt: skip


def test_what_the_question_asks_about_is_told_first_and_results_before_their_steps() -> None:
    question = "Does this patient have pneumonia and is the heart enlarged?"
    assert texts(question, MIDLINE, HEART, PNEUMONIA, RATIO) == [
        "The cardiothoracic ratio is 0.46 (± 0.06).", PNEUMONIA.content, HEART.content, MIDLINE.content,
    ]  # fmt: skip
    assert texts("Is this normal?", MIDLINE, HEART, PNEUMONIA, RATIO) == [
        "The cardiothoracic ratio is 0.46 (± 0.06).", PNEUMONIA.content, MIDLINE.content, HEART.content,
    ]  # fmt: skip


def test_criteria_contradictions_and_flags_stand_before_what_was_measured() -> None:
    def said(words: str, **fields: Any) -> Evidence:
        return Evidence(id=words, content=f"{words}.", source=Source(kind="case", name="x"), **fields)

    conflict = said("both", kind="observation", name="conflict", of=("radiology.t3",))
    criterion = said("met", kind="criterion", name="cardiomegaly")
    flag = said("pressing", kind="observation", name="red flag")
    kind = said("not so", kind="observation", name="another kind")
    order = texts("Is there pneumonia?", PNEUMONIA, conflict, criterion, flag, kind)
    assert order == ["not so.", "pressing.", "both.", "met.", PNEUMONIA.content]


@pytest.mark.parametrize(
    ("uncertainty", "unit", "said"),
    [(0.0613, "1", "(± 0.061)"), (9.0, "1", "(± 9)"), (284.3, "px", "(± 284 px)"), (1.46, "%", "(± 1.5 %)")],
)
def test_an_uncertainty_is_said_as_verification_reads_it(uncertainty: float, unit: str, said: str) -> None:
    item = value(1, f"It is 500{'' if unit == '1' else ' ' + unit}.", value=500, unit=unit, uncertainty=uncertainty)
    claim = claim_of(item)
    assert claim.text.endswith(f" {said}.")
    assert check_claim(claim, {item.id: item}).support == "supported"
    stray = ClaimDraft(text=claim.text.replace("± ", "± 7"), evidence=claim.evidence)
    assert check_claim(stray, {item.id: item}).support == "contradicted"


def test_two_counts_of_one_image_are_one_sentence_with_both_uncertainties() -> None:
    one = value(1, "34 nuclei were counted.", name="nuclei_count", value=34, unit="1", uncertainty=9, tool="nuclei")
    area = value(2, "Nuclei cover 10.8 %.", name="nuclei_area", value=10.8, unit="%", tool="nuclei")
    two = value(
        3, "27 stained nuclei were counted.", name="nuclei_count", value=27, unit="1", uncertainty=8, tool="stained"
    )
    claims = told(map(claim_of, (area, one, two)), (area, one, two), "How many nuclei are there?")
    assert [claim.text for claim in claims] == [
        "34 nuclei were counted (± 9) according to nuclei, 27 (± 8) according to stained.", area.content,
    ]  # fmt: skip
    assert claims[0].evidence == (one.id, two.id)
    assert check_claim(claims[0], {item.id: item for item in (one, two)}).support == "supported"
    elsewhere = two.model_copy(update={"region": Region(image="another")})
    assert len(texts("How many?", one, elsewhere)) == 2


def test_a_claim_without_evidence_keeps_its_place_among_the_rest() -> None:
    bare = ClaimDraft(text="A model said so.")
    assert told([bare, claim_of(PNEUMONIA)], [PNEUMONIA], "pneumonia?") == (claim_of(PNEUMONIA), bare)


def test_an_image_that_looks_like_another_kind_than_stated_is_the_first_thing_said(tmp_path: Path) -> None:
    path = tmp_path / "retina.png"
    PIL.Image.fromarray(skimage.data.retina()).save(path)
    doubt = "image-1: The image looks like a fundus photograph, but is stated to be: dermoscopy."
    image = Image(path=str(path), modality="dermoscopy")
    report = asked(tmp_path / "r", "How many colours are there?", images=[image])
    assert report.answer.startswith(doubt)
    assert report.status == "abstained"  # no tool takes a retina for a mole
    said = {item.content: item for item in report.evidence}[doubt]
    assert said.source.name == "image_quality"


CURB = "Man of 70, confused, urea 8 mmol/L, RR 30, 95/60. What is the CURB-65 score?"


@pytest.mark.parametrize(
    ("question", "name", "arguments"),
    [
        ("Woman aged 60 with creatinine 1.2 mg/dL. What is her eGFR?", "egfr_creatinine", ("creatinine", "age", "sex")),
        ("Calculate the eGFR of a man of 40 with a cystatin C of 1 mg/L", "egfr_cystatin_c", ("cystatin_c", "age")),
        ("Man of 70, weight 80 kg, height 180 cm: eGFR?", "egfr_creatinine", ("creatinine", "age", "sex")),
        (CURB, "curb_65", ("confusion", "urea", "respiratory_rate", "systolic", "diastolic", "age")),
    ],
)
def test_a_calculator_that_is_asked_for_is_named_and_no_passage_takes_its_place(
    tmp_path: Path, question: str, name: str, arguments: tuple[str, ...]
) -> None:
    report = asked(tmp_path, question)
    assert report.status == "abstained"
    assert report.answer.startswith(f"The calculator {name} works this out")
    assert f"`polyclinic tools run {name} " in report.answer
    assert all(f"--set {argument}=…" in report.answer for argument in arguments)
    assert "General knowledge" not in report.answer


@pytest.mark.parametrize("question", ["What is CURB-65?", "What does an eGFR of 45 mean?"])
def test_what_a_score_is_or_means_is_answered_with_what_is_known_of_it(tmp_path: Path, question: str) -> None:
    report = asked(tmp_path, question)
    assert report.status == "answered"
    assert report.answer.startswith("General knowledge: ")


def recorded(*creatinine: tuple[str, float]) -> list[dict[str, object]]:
    return [
        {"date": day, "labs": [{"name": "Creatinine", "value": value, "unit": "mg/dL"}]} for day, value in creatinine
    ]


def test_a_calculator_runs_on_the_newest_recorded_values_which_are_said_with_their_day(tmp_path: Path) -> None:
    visits = recorded(("2024-02-05", 1.2), ("2023-01-05", 0.9))
    facts = {"age": 60, "sex": "Female"}
    report = asked(tmp_path, "What is her eGFR?", date="2024-03-01", metadata=facts, visits=visits)
    assert report.status == "answered"
    first = report.claims[0]
    assert report.answer.startswith(first.text)
    assert "is 52 mL/min/1.73m2" in first.text
    assert first.text.endswith("worked out from Creatinine 1.2 mg/dL of 2024-02-05.")
    assert first.support == "supported"
    assert {item.source.kind for item in report.evidence if item.id in first.evidence} == {"tool", "visit"}


@pytest.mark.parametrize(
    ("question", "facts"),
    [
        ("What is her eGFR?", {"age": 60}),
        ("What is her eGFR?", {"age": 7, "sex": "female"}),
        ("Creatinine 3.1 mg/dL today. What is her eGFR?", {"age": 60, "sex": "female"}),
    ],
)
def test_a_calculator_does_not_run_on_less_than_all_its_values(
    tmp_path: Path, question: str, facts: dict[str, object]
) -> None:
    visits = recorded(("2024-02-05", 1.2))
    report = asked(tmp_path, question, date="2024-03-01", metadata=facts, visits=visits)
    assert report.answer.startswith("The calculator egfr_creatinine works this out")
    assert not any("is 52 mL/min" in item.content for item in report.evidence)


def test_a_value_that_is_recorded_is_told_and_no_calculator_named(tmp_path: Path) -> None:
    labs = [{"name": "eGFR", "value": 55, "unit": "mL/min/1.73m2"}]
    report = asked(tmp_path, "What is her eGFR?", date="2024-03-01", visits=[{"date": "2024-02-05", "labs": labs}])
    assert report.status == "answered"
    assert report.answer.startswith("eGFR was 55 mL/min/1.73 m2 on 2024-02-05")
