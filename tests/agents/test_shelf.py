"""Calculators are offered where a text speaks of them, and a specialist without images can run one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polyclinic import Case, Clinic
from polyclinic.agents.engines.scripted import ScriptedEngine
from polyclinic.agents.shelf import CALCULATORS, calculators, named_in, shelf
from polyclinic.agents.tasks import (
    ClaimDraft,
    OpinionDraft,
    Pick,
    SpecialistTurn,
    Task,
    ToolRequest,
    TriagePlan,
    Verdict,
)
from polyclinic.core.case import Lab, Visit
from polyclinic.tools.registry import Toolbox

BOX = Toolbox.installed()


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("What is his CURB-65?", {"curb_65"}),
        ("what is the curb-65", {"curb_65"}),
        ("Her anion gap, please.", {"anion_gap"}),
        ("Wells score?", {"wells_dvt", "wells_pe"}),
        ("Estimate the eGFR.", {"egfr_child", "egfr_creatinine", "egfr_creatinine_cystatin_c", "egfr_cystatin_c"}),
        ("What does this retina show?", set()),
        ("Is his heart enlarged?", set()),
        ("A man of 60 years, weight 80 kg, height 180 cm, has a cough.", set()),
    ],
)
def test_a_calculator_is_offered_where_the_text_names_it(question: str, names: set[str]) -> None:
    assert {card.name for card in calculators(Case(question=question), BOX)} == names


def test_laboratory_values_speak_for_a_calculator_and_the_number_is_bounded() -> None:
    labs = tuple(Lab(name=name, value=1.0) for name in ("Sodium", "Chloride", "Bicarbonate", "Albumin"))
    offered = calculators(Case(question="Why?", visits=(Visit(date="2021-01-01", labs=labs),)), BOX)
    assert "anion_gap" in {card.name for card in offered}
    everything = " ".join(card.measures[0] for card in BOX.cards if card.shelf == "calculator")
    assert len(calculators(Case(question=everything), BOX)) == CALCULATORS
    assert [card.name for card in shelf(Case(question=everything), BOX)] == sorted(
        card.name for card in calculators(Case(question=everything), BOX)
    )


def test_a_calculator_is_named_by_itself_or_its_result_and_never_by_its_arguments() -> None:
    assert [card.name for card in named_in("the CURB-65 score and her anion gap", BOX.cards)] == [
        "anion_gap",
        "curb_65",
    ]
    told = "confusion, urea 8 mmol/L, respiratory rate 30, systolic 95, diastolic 60, age 70"
    assert "curb_65" in {card.name for card in calculators(Case(question=told), BOX)}
    assert named_in(told, BOX.cards) == ()


async def test_a_specialist_runs_a_calculator_in_a_case_without_images(tmp_path: Path) -> None:
    values = {
        "confusion": True, "urea": "8 mmol/L", "respiratory_rate": "32 /min", "systolic": "85 mmHg",
        "diastolic": "50 mmHg", "age": 70,
    }  # fmt: skip
    offered: list[tuple[str, ...]] = []

    def plan(task: Task[Any]) -> TriagePlan:
        offered.append(tuple(card.name for card in task.shelf))
        pick = Pick(reason="r", specialty="pulmonology")
        return TriagePlan(reasoning="r", urgency="routine", difficulty="easy", specialists=(pick,))

    def claims(task: Task[Any]) -> tuple[ClaimDraft, ...]:
        return tuple(ClaimDraft(text=item.content, evidence=(item.id,)) for item in task.own if item.value is not None)

    def opinion(task: Task[Any]) -> SpecialistTurn:
        return SpecialistTurn(reasoning="r", opinion=OpinionDraft(reasoning="r", answer="5", claims=claims(task)))

    def verdict(task: Task[Any]) -> Verdict:
        return Verdict(reasoning="r", answer="The CURB-65 score is 5.", claims=claims(task))

    request = SpecialistTurn(reasoning="r", tools=(ToolRequest(tool="curb_65", arguments=values),))
    engine = ScriptedEngine({"triage": [plan], "pulmonology": [request, opinion], "attending": [verdict]})
    report = await Clinic(engine=engine, runs=tmp_path).consult(Case(question="What is his CURB-65?"))
    (score,) = (item for item in report.evidence if item.source.name == "curb_65")
    assert score.value == 5
    assert score.region is None
    assert {claim.support for claim in report.claims} == {"supported"}
    assert offered == [("curb_65",)]
