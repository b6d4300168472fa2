"""The diagnostic rules: every threshold from both sides, whom and what they hold for, units, and damaged files."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import SetupError
from polyclinic.core.evidence import Evidence, Source
from polyclinic.knowledge.criteria import (
    FOLDER,
    Criterion,
    Limit,
    Verdict,
    criteria_version,
    evaluate,
    read_criteria,
    shipped_criteria,
)
from polyclinic.knowledge.units import known, same_unit

Facts = dict[str, str | int | float | bool]
WOMAN: Facts = {"sex": "female", "age": 40}
MAN: Facts = {"sex": "male", "age": 40}
PREGNANT: Facts = WOMAN | {"pregnant": True}
CHEST = {"modality": "xray", "body_part": "chest", "view": "PA"}


def measured(name: str, value: float | None, unit: str = "", **more: Any) -> Evidence:
    facts = {"kind": "measurement", "content": "", "source": Source(kind="tool", name="t")} | more
    return Evidence.model_validate({"id": "x.t1", "name": name, "value": value, "unit": unit} | facts)


def judged(item: Evidence, patient: Facts) -> dict[str, Verdict]:
    return {verdict.criterion: verdict for verdict in evaluate(shipped_criteria(), [item], patient)}


@pytest.mark.parametrize(
    ("criterion", "name", "unit", "met", "not_met", "patient"),
    [
        # Numbers as the sources print them, typed in a second time: a slip of the pen in a rule fails here.
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
        ("ejection-fraction-below-50", "LVEF", "%", 49.9, 50, {}),
        ("heart-size", "Cardiothoracic ratio", "", 0.51, 0.5, MAN),
        ("cup-disc-suspicious", "vertical cup-to-disc ratio", "ratio", 0.7, 0.69, MAN),
        ("aortic-aneurysm", "abdominal aortic diameter", "mm", 30, 29.9, MAN),
        ("bone-attenuation-low", "L1 trabecular attenuation", "HU", 110, 111, MAN),
        ("fat-attenuation", "mean attenuation", "[HU]", -30, -29, {}),
        ("anaemia-6-to-23-months", "Hb", "g/L", 104, 105, {"age": 1}),
        ("anaemia-pregnancy", "Hb", "g/L", 104, 105, PREGNANT),
        ("anaemia-severe-pregnancy", "Hb", "g/L", 69, 70, PREGNANT),
        ("polycythaemia-haematocrit-women", "Hct", "%", 48.1, 48, WOMAN),
        ("thrombocytosis", "platelets", "10^9/L", 450, 449, {}),
        ("blasts-acute-leukaemia", "blasts", "%", 20, 19, {}),
        ("hypoglycaemia-level-1", "glucose", "mmol/L", 3.0, 3.9, MAN | {"diabetes": True}),
        ("hypoglycaemia-level-2", "glucose", "mg/dL", 53, 54, {}),
        ("gestational-diabetes-fasting-glucose", "fasting glucose", "mmol/L", 5.1, 5.0, PREGNANT),
        ("gestational-diabetes-fasting-glucose", "fasting glucose", "mg/dL", 150, 91, PREGNANT),
        ("albuminuria", "ACR", "mg/mmol", 3, 2.9, {}),
        ("albuminuria-severe", "UACR", "mg/g", 301, 300, {}),
        ("hypercalcaemia-severe", "adjusted calcium", "mmol/L", 3.11, 3.1, {}),
        ("nt-probnp-raised", "NT-proBNP", "ng/L", 125, 124, MAN),
        ("tsh-10", "TSH", "µIU/mL", 10, 9.9, MAN),
        ("tsh-10", "TSH", "mU/L", 10, 9.9, MAN),
        ("ca-125-raised", "CA-125", "kU/L", 35, 34, WOMAN),
        ("psa-60-to-69", "PSA", "ng/mL", 4.6, 4.5, {"sex": "male", "age": 69}),
        ("iron-deficiency", "ferritin", "µg/L", 14, 15, WOMAN),
        ("ascites-neutrophils", "ascitic neutrophils", "cells/mm3", 251, 250, {}),
        ("exudate-protein-ratio", "pleural protein ratio", "", 0.51, 0.5, {}),
        ("systolic-pressure-grade-1", "SBP", "mmHg", 140, 160, MAN),
        ("diastolic-pressure-grade-3", "DBP", "mmHg", 110, 109, MAN),
        ("systolic-pressure-pregnancy-severe", "SBP", "mmHg", 160, 159, PREGNANT),
        ("heart-rate-very-high", "pulse", "bpm", 131, 130, MAN),
        ("tachycardia-under-1", "heart rate", "/min", 161, 160, {"age": 0.5, "fever": True}),
        ("shock-index-high", "shock index", "1", 0.91, 0.9, MAN),
        ("obesity", "BMI", "kg/m²", 30, 29.9, WOMAN),
        ("qtc-long-men", "QTc", "ms", 450, 449, MAN),
        ("qtc-long-women", "QTc", "ms", 460, 459, WOMAN),
        ("qtc-short", "QTc", "ms", 360, 361, MAN),
        ("qtc-torsade-risk", "QTc", "ms", 501, 500, {}),
        ("airflow-obstruction", "FEV1/FVC", "", 0.69, 0.7, MAN),
        ("ards-severe", "PaO2/FiO2", "mmHg", 100, 101, {}),
        ("adrenal-lipid-rich", "adrenal nodule attenuation", "HU", 10, 11, MAN),
        ("renal-cyst-simple", "renal cyst attenuation", "HU", 20, 21, {}),
        ("nodule-solid-6-to-8", "solid pulmonary nodule diameter", "mm", 8, 5, MAN),
        ("nodule-solid-large", "solid pulmonary nodule diameter", "mm", 9, 8, MAN),
        ("lymph-node-15", "lymph node short axis", "mm", 15, 14, {}),
        ("midline-shift", "midline shift", "mm", 5.1, 5, {}),
        ("aortic-aneurysm-repair-men", "abdominal aortic diameter", "mm", 55, 54, MAN),
        ("gallbladder-wall", "gallbladder wall thickness", "mm", 4, 3.9, {}),
        ("bile-duct-wide", "CBD diameter", "mm", 6.1, 6, MAN),
        ("endometrium-thick", "endometrial thickness", "mm", 4.1, 4, WOMAN | {"postmenopausal": True}),
        ("nuchal-translucency-thick", "nuchal translucency", "mm", 3.5, 3.4, {}),
        ("thyroid-tr4-biopsy", "TR4 thyroid nodule diameter", "cm", 1.5, 1.4, MAN),
        ("carotid-stenosis-70", "ICA PSV", "cm/s", 231, 230, MAN),
        ("aortic-stenosis-velocity", "aortic Vmax", "m/s", 4.0, 3.9, MAN),
        ("dermoscopy-score-suspicious", "TDS", "", 4.75, 4.7, {}),
        ("dermoscopy-score-melanoma", "total dermoscopy score", "", 5.5, 5.45, {}),
        ("seven-point-dermoscopy", "7-point dermoscopy checklist", "points", 3, 2, {}),
        ("skin-life-quality", "DLQI", "points", 11, 10, MAN),
        ("cup-disc-asymmetry", "cup-to-disc asymmetry", "", 0.2, 0.19, MAN),
        ("intraocular-pressure-raised", "IOP", "mmHg", 24, 23, MAN),
        ("qsofa-high", "qSOFA", "", 2, 1, MAN),
        ("curb-65-severe", "CURB-65", "", 3, 2, MAN),
        ("news2-emergency", "NEWS2", "", 7, 6, MAN),
        ("coma-gcs", "Glasgow Coma Scale", "", 8, 9, {}),
        ("cha2ds2-vasc-women", "CHA2DS2-VASc", "", 3, 2, WOMAN),
        ("wells-embolism-likely", "Wells PE score", "", 4.5, 4, MAN),
        ("child-pugh-b", "Child-Pugh", "points", 9, 10, MAN),
        ("osteoporosis-t-score", "T-score", "", -2.5, -2.4, WOMAN | {"postmenopausal": True}),
    ],
)
def test_each_threshold_from_both_sides(
    criterion: str, name: str, unit: str, met: float, not_met: float, patient: Facts
) -> None:
    shown = CHEST if criterion == "heart-size" else {}
    yes, no = (judged(measured(name, value, unit, **shown), patient)[criterion] for value in (met, not_met))
    assert (yes.judgement, no.judgement) == ("met", "not_met")
    assert yes.evidence == "x.t1"
    assert f"{met:g}" in yes.explanation
    assert yes.source in yes.explanation


def test_every_field_has_rules_and_there_are_many() -> None:
    fields = {path.stem: len(read_criteria([path])) for path in FOLDER.glob("*.toml")}
    assert sum(fields.values()) == len(shipped_criteria()) >= 66
    least = {
        "blood": 20, "bone": 3, "chest": 3, "ct": 20, "ecg": 7, "fundus": 4, "laboratory": 40, "lungs": 8, "scores": 30,
        "skin": 10, "ultrasound": 20, "vital_signs": 30,
    }  # fmt: skip
    assert set(fields) == set(least)
    assert all(fields[name] >= number for name, number in least.items()), fields


def patient_for(rule: Criterion) -> Facts:
    """Somebody the rule holds for."""
    age = rule.min_age if rule.min_age is not None else (rule.max_age or 80) / 2
    return {"sex": rule.sex or "female", "age": age} | dict.fromkeys(rule.requires, True)


def item_for(rule: Criterion, value: float, unit: str, **more: Any) -> Evidence:
    """The rule's measurement, made where the rule says."""
    places = {"modality": rule.modality or "", "view": (*rule.view, "")[0], "body_part": (*rule.body_part, "")[0]}
    return measured(rule.measurements[0], value, unit, **(places | more))


def around(rule: Criterion, limit: Limit) -> Iterator[tuple[float, bool]]:
    """Values on and just beside every edge, and whether the comparator, as the source states it, holds there."""
    low, high = limit if isinstance(limit, tuple) else (limit, limit)
    step = 1e-6 * max(abs(low), abs(high), 1.0)
    yield from {
        "<": [(low - step, True), (low, False)],
        "<=": [(low, True), (low + step, False)],
        ">": [(low + step, True), (low, False)],
        ">=": [(low, True), (low - step, False)],
        "within": [(low - step, False), (low, True), (high - step, True), (high, False)],
        "between": [(low - step, False), (low, True), (high, True), (high + step, False)],
    }[rule.comparator]


@pytest.mark.parametrize("rule", shipped_criteria(), ids=lambda rule: rule.id)
def test_every_rule_holds_exactly_up_to_its_edge_under_each_of_its_names(rule: Criterion) -> None:
    for unit, limit in rule.thresholds.items():
        assert known(unit)
        for value, holds in around(rule, limit):
            for name in rule.measurements:
                item = item_for(rule, value, unit).model_copy(update={"name": name.upper()})
                (verdict,) = evaluate([rule], [item], patient_for(rule))
                assert verdict.judgement == ("met" if holds else "not_met"), verdict.explanation
                assert judged(item, patient_for(rule))[rule.id] == verdict


@pytest.mark.parametrize("rule", shipped_criteria(), ids=lambda rule: rule.id)
def test_every_rule_says_whom_it_cannot_judge(rule: Criterion) -> None:
    (unit, limit), *_ = rule.thresholds.items()
    value = next(value for value, holds in around(rule, limit) if holds)
    unknown = bool(rule.sex or rule.requires)
    unknown = unknown or (not rule.assumes_adult and (rule.min_age is not None or rule.max_age is not None))
    (verdict,) = evaluate([rule], [item_for(rule, value, unit)], {})
    assert verdict.judgement == ("not_measurable" if unknown else "met")
    assert ("not known" in verdict.explanation) == (unknown or rule.assumes_adult)
    others: list[Facts] = [{fact: False} for fact in rule.requires] + [{fact: True} for fact in rule.excludes]
    others += [{"sex": "male" if rule.sex == "female" else "female"}] if rule.sex else []
    others += [{"age": rule.min_age - 0.01}] if rule.min_age is not None else []
    others += [{"age": rule.max_age}] if rule.max_age is not None else []
    for other in others:
        assert evaluate([rule], [item_for(rule, value, unit)], patient_for(rule) | other) == ()


def test_a_rule_for_others_gives_no_verdict() -> None:
    assert "anaemia-women" not in judged(measured("Hb", 100, "g/L"), MAN)
    assert "anaemia-women" not in judged(measured("Hb", 100, "g/L"), PREGNANT)
    assert "heart-size" not in judged(measured("CTR", 0.6, **CHEST), {"age": 1})
    assert judged(measured("temperature", 39, "°C"), {"age": 0.5}) == {}


def test_an_unknown_population_is_not_measurable_unless_an_adult_is_assumed_and_said() -> None:
    verdict = judged(measured("Hb", 100, "g/L"), {})["anaemia-men"]
    assert verdict.judgement == "not_measurable"
    assert "sex and age not known" in verdict.explanation
    assert "130 g/L" in verdict.explanation
    heart = judged(measured("CTR", 0.6, **CHEST), {})["heart-size"]
    assert heart.judgement == "met"
    assert "age not known, judged as an adult" in heart.explanation
    assert judged(measured("CTR", 0.6, **CHEST), {"age": "52"})["heart-size"].judgement == "met"
    pressure = judged(measured("SBP", 150, "mmHg"), WOMAN)["systolic-pressure-pregnancy"]
    assert "whether pregnant not known" in pressure.explanation


def test_another_view_or_none_is_not_measurable_and_says_why() -> None:
    wrong = judged(measured("CTR", 0.6, **CHEST | {"view": "AP"}), MAN)["heart-size"]
    assert wrong.judgement == "not_measurable"
    assert "measured on the AP view, and the rule holds on PA" in wrong.explanation
    silent = judged(measured("CTR", 0.6), MAN)["heart-size"]
    assert silent.judgement == "not_measurable"
    assert silent.explanation.startswith(
        "CTR 0.6 cannot be judged for enlarged cardiac silhouette, above 0.5: view not"
    )
    assert judged(measured("CTR", 0.6, view="postero-anterior"), MAN)["heart-size"].judgement == "met"


def test_another_modality_or_body_part_is_another_measurement_and_an_unknown_one_is_trusted() -> None:
    assert "heart-size" not in judged(measured("CTR", 0.6, **CHEST | {"modality": "ultrasound"}), MAN)
    assert "heart-size" not in judged(measured("CTR", 0.6, **CHEST | {"body_part": "abdomen"}), MAN)
    assert judged(measured("appendix diameter", 7, "mm", modality="ct"), MAN) == {}
    assert judged(measured("appendix diameter", 7, "mm"), MAN)["appendix-wide"].judgement == "met"


def test_a_unit_that_converts_is_converted_and_both_numbers_are_said() -> None:
    verdict = judged(measured("Hb", 12.9, "g/dL"), MAN)["anaemia-men"]
    assert verdict.judgement == "met"
    assert verdict.explanation.startswith("Hb 12.9 g/dL, that is 129 g/L, is below 130 g/L: anaemia (WHO")
    assert judged(measured("Hb", 13.0, "g/dL"), MAN)["anaemia-men"].judgement == "not_met"
    fever = judged(measured("temperature", 100.4, "°F"), {"age": 0.1})["temperature-young-infant"]
    assert fever.explanation.startswith("temperature 100.4 °F, that is 38 °C, is at least 38 °C")
    wide = judged(measured("abdominal aortic diameter", 2.95, "cm", uncertainty=0.1), MAN)["aortic-aneurysm"]
    assert "that is 29.5 mm, is not at least 30 mm" in wide.explanation
    assert "within the uncertainty of 0.1" in wide.explanation
    assert judged(measured("CTR", 57, "%", **CHEST), MAN)["heart-size"].judgement == "met"


@pytest.mark.parametrize(
    ("name", "value", "unit", "criterion", "why"),
    [
        ("HbA1c", 60, "g/L", "diabetes-hba1c", "6.5% or 48 mmol/mol: another unit, and it cannot be converted"),
        ("sodium", 300, "mg/dL", "hyponatraemia", "another unit, and it cannot be converted"),
        ("bilirubin", 40, "umol/L", "bilirubin-cholangitis", "another unit, and it cannot be converted"),
        ("potassium", 7, "", "hyperkalaemia-severe", "no unit is stated"),
        ("LVEF", 35, "", "ejection-fraction-reduced", "no unit is stated"),
    ],
)
def test_a_unit_that_does_not_convert_is_not_measurable(
    name: str, value: float, unit: str, criterion: str, why: str
) -> None:
    verdict = judged(measured(name, value, unit), MAN)[criterion]
    assert verdict.judgement == "not_measurable"
    assert why in verdict.explanation


def test_uncertainty_and_age_of_a_value_are_said() -> None:
    near = judged(measured("CTR", 0.51, uncertainty=0.02, **CHEST), MAN)["heart-size"].explanation
    far = judged(measured("CTR", 0.61, uncertainty=0.02, **CHEST), MAN)["heart-size"].explanation
    assert "within the uncertainty of 0.02" in near
    assert "uncertainty" not in far
    for date, said in ((None, ""), (datetime.date(2024, 3, 1), ", of 2024-03-01")):
        old = judged(measured("CTR", 0.61, kind="prior_visit", date=date, **CHEST), MAN)["heart-size"]
        assert old.explanation.endswith(f" This value is from an earlier visit{said}.")
    assert "from an earlier visit" not in near


def test_only_measurements_that_occur_are_judged_and_in_the_order_of_the_rules() -> None:
    assert judged(measured("haemoglobin", None, "g/L"), MAN) == {}
    assert judged(measured("haemoglobinuria", 1, "g/L"), MAN) == {}
    items = [measured("potassium", 7, "mmol/L"), measured("Hb", 70, "g/L", id="x.t2"), measured("Hb", 75, "g/L")]
    verdicts = evaluate(shipped_criteria(), items, MAN)
    found = [(verdict.criterion, verdict.evidence) for verdict in verdicts if verdict.judgement == "met"]
    assert found == [
        ("anaemia-men", "x.t2"), ("anaemia-men", "x.t1"), ("anaemia-severe", "x.t2"), ("anaemia-severe", "x.t1"),
        ("hyperkalaemia-severe", "x.t1"),
    ]  # fmt: skip
    assert evaluate(tuple(reversed(shipped_criteria())), items[:1], MAN) == tuple(
        reversed(evaluate(shipped_criteria(), items[:1], MAN))
    )


names = st.sampled_from([name for rule in shipped_criteria() for name in rule.measurements]) | st.text(max_size=8)
units = st.sampled_from(["", "%", "g/L", "mmol/L", "HU", "mm", "10^9/L", "°F"]) | st.text(max_size=6)
facts = st.dictionaries(
    st.sampled_from(["sex", "age", "pregnant", "postmenopausal", "note"]),
    st.text(max_size=6) | st.integers() | st.floats() | st.booleans() | st.sampled_from(["female", "male"]),
)


@given(names, st.floats(allow_nan=False, allow_infinity=False) | st.none(), units, facts, st.floats(0, 10) | st.none())
def test_any_evidence_of_any_patient_gets_a_verdict_or_none(
    name: str, value: float | None, unit: str, patient: Facts, uncertainty: float | None
) -> None:
    verdicts = evaluate(shipped_criteria(), [measured(name, value, unit, uncertainty=uncertainty)], patient)
    for verdict in verdicts:
        assert verdict.judgement in ("met", "not_met", "not_measurable")
        assert verdict.source in verdict.explanation


def test_the_version_is_a_hash_of_the_rules() -> None:
    assert len(criteria_version()) == 64
    assert criteria_version() == criteria_version()


def test_shipped_rules_state_one_unit_of_a_dimension() -> None:
    """Two would need pint, which takes a quarter of a second, in every process that reads the rules."""
    for rule in shipped_criteria():
        assert len({same_unit(unit) for unit in rule.thresholds}) == len(rule.thresholds)
        for unit in rule.thresholds:
            value = rule.thresholds[unit]
            alone = rule.model_copy(update={"thresholds": {unit: value}})
            for other in set(rule.thresholds) - {unit}:
                (verdict,) = evaluate([alone], [item_for(alone, 1.0, other)], patient_for(alone))
                assert verdict.judgement == "not_measurable"


RULE = """
[[criterion]]
id = "{id}"
measurements = {measurements}
comparator = "{comparator}"
thresholds = {thresholds}
finding = "f"
severity = "abnormal"
source = "A guideline of somebody 2020"
{more}
"""


def rule(**changes: str) -> str:
    plain = {"id": "a", "measurements": '["a"]', "comparator": "<", "thresholds": '{ "%" = 1 }', "more": ""}
    return RULE.format(**plain | changes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (rule(thresholds='{ "%" = [1, 2] }'), r"no threshold for '<'"),
        (rule(comparator="within"), r"no threshold for 'within'"),
        (rule(comparator="between", thresholds='{ "%" = [2, 1] }'), r"no threshold for 'between'"),
        (rule(comparator="about"), r"comparator"),
        (rule(thresholds="{}"), r"thresholds"),
        (rule(thresholds='{ "g/L" = 130, "g/dL" = 12.0 }'), r"130 g/L is 13 g/dL, not 12"),
        (rule(comparator="within", thresholds='{ "mm" = [6, 8], "cm" = [0.6, 0.9] }'), r"8 mm is 0\.8 cm, not 0\.9"),
        (rule(thresholds='{ "°C" = 38.0, "°F" = 100 }'), r"38 °C is 100\.4 °F, not 100"),
        (rule(measurements="[]"), r"measurements"),
        (rule(measurements='["a-b", "A B"]'), r"a name twice"),
        (rule(more='requires = ["left-handed"]'), r"requires"),
        (rule(more='doi = "10.1/x"'), r"doi"),
        (rule() * 2, r"share the id 'a'"),
        (rule()[:-9], r"valid criteria in rules\.toml"),
        ("", r"criterion"),
        ("criterion = []", r"no criterion at all"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SetupError, match=said):
        read_criteria([path])


def test_rules_of_several_files_are_sorted_and_share_no_id(tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text(rule(id="b", thresholds='{ "kPa" = 8, "mmHg" = 60 }'), encoding="utf-8")
    second.write_text(rule(id="a"), encoding="utf-8")
    assert [found.id for found in read_criteria([first, second])] == ["a", "b"]
    second.write_text(rule(id="b"), encoding="utf-8")
    with pytest.raises(SetupError, match=r"second\.toml.*share the id 'b'"):
        read_criteria([first, second])
    with pytest.raises(SetupError, match=r"third\.toml"):
        read_criteria([first, tmp_path / "third.toml"])
    first.write_bytes(b"\xff")
    with pytest.raises(SetupError, match=r"first\.toml"):
        read_criteria([first])
    with pytest.raises(SetupError, match=r"no criterion at all"):
        read_criteria([])


def test_rules_for_the_pregnant_and_the_postmenopausal_are_not_for_a_man() -> None:
    pressure = measured("systolic blood pressure", 150, "mmHg")
    bone = measured("T-score", -2.6)
    for item, fact in ((pressure, "pregnant"), (bone, "postmenopausal")):
        rules = {rule.id for rule in shipped_criteria() if fact in rule.requires}
        open_question = {name for name, verdict in judged(item, WOMAN).items() if name in rules}
        assert open_question
        assert {judged(item, WOMAN)[name].judgement for name in open_question} == {"not_measurable"}
        assert not rules & judged(item, MAN).keys()
        assert open_question <= judged(item, MAN | {fact: True}).keys()  # the case says so: it is not for us to doubt


def test_a_value_is_rounded_unless_that_would_contradict_the_verdict() -> None:
    def said(value: float) -> str:
        return judged(measured("Body Mass Index", value, "kg/m2"), WOMAN)["obesity"].explanation

    assert said(33.093).startswith("Body Mass Index 33.1 kg/m2 is at least 30")
    assert said(29.96).startswith("Body Mass Index 29.96 kg/m2 is not at least 30")
