"""The diagnostic rules: every threshold from both sides, populations, units, and a judgement for any input."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import SetupError
from polyclinic.core.evidence import Evidence, EvidenceKind, Source
from polyclinic.knowledge.criteria import (
    Verdict,
    criteria_version,
    evaluate,
    read_criteria,
    same_unit,
    shipped_criteria,
)

WOMAN: dict[str, str | int | float | bool] = {"sex": "female", "age": 40}
MAN: dict[str, str | int | float | bool] = {"sex": "male", "age": 40}


def measured(
    name: str,
    value: float | None,
    unit: str = "",
    *,
    uncertainty: float | None = None,
    kind: EvidenceKind = "measurement",
) -> Evidence:
    source = Source(kind="tool", name="t")
    return Evidence(
        id="x.t1", kind=kind, content="", name=name, value=value, unit=unit, uncertainty=uncertainty, source=source
    )


def judged(item: Evidence, patient: dict[str, str | int | float | bool]) -> dict[str, Verdict]:
    return {verdict.criterion: verdict for verdict in evaluate(shipped_criteria(), [item], patient)}


@pytest.mark.parametrize(
    ("criterion", "name", "unit", "met", "not_met", "patient"),
    [
        ("anaemia-men", "Haemoglobin", "g/L", 129, 130, MAN),
        ("anaemia-women", "Hgb", "g/dL", 11.9, 12.0, WOMAN),
        ("anaemia-severe", "hemoglobin", "g/dL", 7.9, 8.0, MAN),
        ("neutropenia-grade-3", "neutrophils", "10^9/L", 0.5, 0.49, {}),
        ("neutropenia-grade-4", "ANC", "/uL", 499, 500, {}),
        ("thrombocytopenia-grade-3", "platelets", "10*9/L", 49, 50, {}),
        ("thrombocytopenia-grade-4", "Platelet count", "K/uL", 24, 25, {}),
        ("diabetes-hba1c", "HbA1c", "%", 6.5, 6.4, {}),
        ("diabetes-hba1c", "HbA1c", "mmol/mol", 48, 47, {}),
        ("diabetes-fasting-glucose", "fasting glucose", "mmol/L", 7.0, 6.9, {}),
        ("ckd-egfr", "eGFR", "mL/min/1.73 m²", 59, 60, {}),
        ("kidney-failure-egfr", "eGFR", "mL/min/{1.73_m2}", 14, 15, {}),
        ("hyperkalaemia", "Potassium", "mmol/L", 5.5, 6.5, MAN),
        ("hyperkalaemia-severe", "potassium", "mEq/L", 6.5, 6.4, MAN),
        ("hyponatraemia", "sodium", "mmol/L", 134, 135, {}),
        ("hyponatraemia-profound", "sodium", "mmol/L", 124, 125, {}),
        ("lactate-raised", "lactate", "mmol/L", 2.1, 2.0, MAN),
        ("oxygen-saturation-low", "SpO2", "%", 91, 92, MAN),
        ("respiratory-rate-high", "respiratory rate", "/min", 25, 24, MAN),
        ("systolic-pressure-low", "systolic blood pressure", "mm[Hg]", 90, 91, MAN),
        ("systolic-pressure-grade-3", "SBP", "mmHg", 180, 179, MAN),
        ("temperature-young-infant", "temperature", "°C", 38.0, 37.9, {"age": 0.1}),
        ("temperature-low", "temperature", "Cel", 35.0, 35.1, MAN),
        ("ejection-fraction-reduced", "LVEF", "%", 40, 41, {}),
        ("heart-size", "Cardiothoracic ratio", "", 0.51, 0.5, MAN),
        ("cup-disc-suspicious", "vertical cup-to-disc ratio", "ratio", 0.71, 0.7, MAN),
        ("aortic-aneurysm", "abdominal aortic diameter", "mm", 30, 29.9, MAN),
        ("bone-attenuation-low", "L1 trabecular attenuation", "HU", 110, 111, MAN),
        ("fat-attenuation", "mean attenuation", "[HU]", -100, -30, {}),
    ],
)
def test_each_threshold_from_both_sides(
    criterion: str, name: str, unit: str, met: float, not_met: float, patient: dict[str, str | int | float | bool]
) -> None:
    yes, no = (judged(measured(name, value, unit), patient)[criterion] for value in (met, not_met))
    assert (yes.judgement, no.judgement) == ("met", "not_met")
    assert yes.evidence == "x.t1"
    assert f"{met:g}" in yes.explanation
    assert yes.source in yes.explanation


def test_every_shipped_rule_is_tried_above() -> None:
    mark = next(m for m in test_each_threshold_from_both_sides.pytestmark if m.name == "parametrize")  # type: ignore[attr-defined]
    assert {row[0] for row in mark.args[1]} == {criterion.id for criterion in shipped_criteria()}


def test_a_rule_for_others_gives_no_verdict() -> None:
    assert "anaemia-women" not in judged(measured("Hb", 100, "g/L"), MAN)
    assert "anaemia-women" not in judged(measured("Hb", 100, "g/L"), WOMAN | {"pregnant": True})
    assert "heart-size" not in judged(measured("CTR", 0.6), {"age": 1})
    assert judged(measured("temperature", 39, "°C"), {"age": 0.25}) == {}


def test_an_unknown_population_is_not_measurable_unless_an_adult_is_assumed_and_said() -> None:
    verdict = judged(measured("Hb", 100, "g/L"), {})["anaemia-men"]
    assert verdict.judgement == "not_measurable"
    assert "sex and age not known" in verdict.explanation
    assert "130 g/L" in verdict.explanation
    heart = judged(measured("CTR", 0.6), {})["heart-size"]
    assert heart.judgement == "met"
    assert "age not known, judged as an adult" in heart.explanation
    assert judged(measured("CTR", 0.6), {"age": "52"})["heart-size"].judgement == "met"


def test_another_unit_is_never_converted() -> None:
    verdict = judged(measured("HbA1c", 60, "g/L"), {})["diabetes-hba1c"]
    assert verdict.judgement == "not_measurable"
    assert "6.5% or 48 mmol/mol" in verdict.explanation
    assert judged(measured("potassium", 7), MAN)["hyperkalaemia-severe"].judgement == "not_measurable"


def test_uncertainty_and_age_of_a_value_are_said() -> None:
    near = judged(measured("CTR", 0.51, uncertainty=0.02), MAN)["heart-size"].explanation
    far = judged(measured("CTR", 0.61, uncertainty=0.02), MAN)["heart-size"].explanation
    assert "within the uncertainty of 0.02" in near
    assert "uncertainty" not in far
    old = judged(measured("CTR", 0.61, kind="prior_visit"), MAN)["heart-size"]
    assert "from an earlier visit" in old.explanation


def test_only_measurements_that_occur_are_judged() -> None:
    assert judged(measured("haemoglobin", None, "g/L"), MAN) == {}
    assert judged(measured("haemoglobinuria", 1, "g/L"), MAN) == {}


names = st.sampled_from([name for rule in shipped_criteria() for name in rule.measurements]) | st.text(max_size=8)
units = st.sampled_from(["", "%", "g/L", "mmol/L", "HU", "mm", "10^9/L"]) | st.text(max_size=6)
facts = st.dictionaries(
    st.sampled_from(["sex", "age", "pregnant", "note"]),
    st.text(max_size=6) | st.integers() | st.floats() | st.booleans() | st.sampled_from(["female", "male"]),
)


@given(names, st.floats(allow_nan=False, allow_infinity=False) | st.none(), units, facts, st.floats(0, 10) | st.none())
def test_any_evidence_of_any_patient_gets_a_verdict_or_none(
    name: str, value: float | None, unit: str, patient: dict[str, str | int | float | bool], uncertainty: float | None
) -> None:
    verdicts = evaluate(shipped_criteria(), [measured(name, value, unit, uncertainty=uncertainty)], patient)
    for verdict in verdicts:
        assert verdict.judgement in ("met", "not_met", "not_measurable")
        assert verdict.source in verdict.explanation


@pytest.mark.parametrize(
    ("written", "meant"),
    [("×10⁹/L", "10^9/l"), ("10^3/µL", "10^9/l"), ("ratio", ""), (" mmol / L ", "mmol/l"), ("cells/mm³", "/ul")],
)
def test_one_unit_in_many_spellings(written: str, meant: str) -> None:
    assert same_unit(written) == meant


def test_the_version_is_a_hash_of_the_rules() -> None:
    assert len(criteria_version()) == 64
    assert criteria_version() == criteria_version()


RULE = """
[[criterion]]
id = "a"
measurements = ["a"]
comparator = "{comparator}"
thresholds = {{ "%" = {threshold} }}
finding = "f"
severity = "abnormal"
source = "A guideline of somebody 2020"
"""


def test_a_rule_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    for comparator, threshold in [("<", "[1, 2]"), ("within", "1"), ("within", "[2, 1]"), ("about", "1")]:
        path.write_text(RULE.format(comparator=comparator, threshold=threshold), encoding="utf-8")
        with pytest.raises(SetupError, match=r"rules\.toml"):
            read_criteria(path)
    path.write_text(RULE.format(comparator="<", threshold="1") * 2, encoding="utf-8")
    with pytest.raises(SetupError, match="share an id"):
        read_criteria(path)
    path.write_text(RULE.format(comparator="<", threshold="1"), encoding="utf-8")
    assert [rule.id for rule in read_criteria(path)] == ["a"]
