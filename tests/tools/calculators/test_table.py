"""What holds for every calculator: a complete card, arguments that say what to type, refusals, and one answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import ToolRefusedError
from polyclinic.core.evidence import Evidence, Source
from polyclinic.knowledge.criteria import evaluate, shipped_criteria
from polyclinic.tools.calculators.amounts import Amount
from polyclinic.tools.calculators.points import Calculated, half_up
from polyclinic.tools.calculators.table import CALCULATORS
from polyclinic.tools.card import Tool

Calculate = Callable[..., Calculated]
TOOLS = {tool.card.name: tool for tool in CALCULATORS}


def quantities(tool: Tool) -> list[tuple[str, Amount]]:
    found = []
    for name, field in tool.arguments.model_fields.items():
        inner = [part for kind in get_args(field.annotation) for part in getattr(kind, "__metadata__", ())]
        found += [(name, part) for part in (*field.metadata, *inner) if isinstance(part, Amount)]
    return found


QUANTITIES = [(tool.card.name, name, amount) for tool in CALCULATORS for name, amount in quantities(tool)]
IDS = [f"{tool}-{name}" for tool, name, _ in QUANTITIES]


def test_no_two_calculators_share_a_name() -> None:
    assert len(TOOLS) == len(CALCULATORS) >= 40


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_a_card_is_complete(name: str) -> None:
    tool = TOOLS[name]
    card = tool.card
    assert re.fullmatch(r"[a-z][a-z0-9_]*", card.name)
    assert (card.shelf, card.modalities, card.extra, card.weights) == ("calculator", (), "", None)
    assert card.summary.endswith(".")
    assert card.limits
    assert all(limit.endswith(".") for limit in card.limits)
    assert card.measures
    assert set(card.arguments) == set(tool.arguments.model_fields)
    assert tool.run.__module__.startswith("polyclinic.tools.calculators.")
    assert getattr(__import__(tool.run.__module__, fromlist=["x"]), tool.run.__name__) is tool.run


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_an_answer_has_values_a_meaning_and_a_source(calculate: Calculate, name: str) -> None:
    result = calculate(name)
    assert result == calculate(name)
    assert len({item.name for item in result.values}) == len(result.values)
    assert all(link in {item.name for item in result.values} for item in result.values for link in item.of)
    assert result.interpretation
    assert result.source in TOOLS[name].card.provenance
    assert re.search(r"\b(19|20)\d\d\b", result.source)
    assert all(item.text.endswith(".") and "{" not in item.text for item in result.values)


@pytest.mark.parametrize(("tool", "name", "amount"), QUANTITIES, ids=IDS)
def test_a_schema_tells_a_model_what_to_write(tool: str, name: str, amount: Amount) -> None:
    schema = str(TOOLS[tool].card.arguments[name])
    assert amount.what[1:] in schema
    assert amount.range in schema
    assert f"{amount.example:g}" in schema
    assert amount.low <= amount.read(amount.typed) <= amount.high
    for unit in amount.also:
        assert unit == "%" or unit in schema
        with pytest.raises(ToolRefusedError, match="outside that range"):
            amount.read(f"-1e9 {unit}")  # read as a number in that unit, and refused for nothing else


@pytest.mark.parametrize(("tool", "name", "amount"), QUANTITIES, ids=IDS)
def test_what_is_out_of_range_is_refused_with_the_range(
    calculate: Calculate, tool: str, name: str, amount: Amount
) -> None:
    step = 1 if amount.whole else (amount.high - amount.low) / 1000
    for value in (amount.low - step, amount.high + step):
        with pytest.raises(ToolRefusedError, match=re.escape(amount.range)):
            calculate(tool, **{name: amount.write(value)})
    if isinstance(amount.write(amount.example), str):
        with pytest.raises(ToolRefusedError, match="without a unit"):
            calculate(tool, **{name: amount.example})


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_arguments_survive_the_way_to_a_worker(calculate: Calculate, name: str) -> None:
    """A worker gets them as JSON and reads them again."""
    tool = TOOLS[name]
    stated = {key: _first(part) for key, part in tool.card.arguments.items() if "default" not in part}
    try:
        given_ = tool.arguments.model_validate(stated)
    except ToolRefusedError:
        pytest.fail(f"the schema's own examples are refused by {name}")
    assert tool.arguments.model_validate(given_.model_dump(mode="json")) == given_
    assert tool.arguments.model_validate_json(given_.model_dump_json()) == given_


def _first(part: dict[str, Any]) -> Any:
    if "examples" in part:
        return part["examples"][0]
    if "enum" in part:
        return part["enum"][0]
    return "2026-06-20" if part.get("format") == "date" else False


@pytest.mark.parametrize(
    ("tool", "stated", "words"),
    [
        ("alveolar_arterial_gradient", {"arterial_oxygen": "300 mmHg", "fio2": 0.21}, "inspired oxygen"),
        ("anion_gap", {"sodium": "200 mmol/L", "chloride": "60 mmol/L"}, "three values"),
        ("body_mass_index", {"weight": "300 kg", "height": "110 cm"}, "both values"),
        ("cardiothoracic_ratio", {"heart_width": "20 cm", "thorax_width": "18 cm"}, "exchanged"),
        ("creatinine_clearance", {"age": 115}, "18 to 110"),
        ("fleischner", {"cancer_or_immunosuppressed": True}, "guideline for that patient"),
        ("fractional_excretion_sodium", {"urine_sodium": "300 mmol/L", "urine_creatinine": "1 mg/dL"}, "urine"),
        ("free_water_deficit", {"sodium": "141 mmol/L", "target_sodium": "145 mmol/L"}, "target"),
        ("gestational_age_lmp", {"last_period": "2026-06-21", "on": "2026-06-20"}, "0 to 44 weeks"),
        ("haematoma_volume", {"length": "2 cm", "width": "3 cm"}, "exchange"),
        ("isth_dic", {"underlying_disorder": False}, "known to cause DIC"),
        ("ldl_friedewald", {"total_cholesterol": "60 mg/dL", "hdl_cholesterol": "60 mg/dL"}, "measured"),
        ("mean_arterial_pressure", {"systolic": "80 mmHg", "diastolic": "80 mmHg"}, "exchanged"),
        ("mentzer_index", {"mean_cell_volume": "80 fL"}, "microcytosis"),
        ("neutrophil_count", {"neutrophils": "80 %", "bands": "30 %"}, "100 %"),
        ("ottawa_ankle", {"reliable_examination": False}, "examined reliably"),
        ("saag", {"serum_albumin": "1 g/dL", "ascites_albumin": "2 g/dL"}, "exchanged"),
        ("ti_rads", {"composition": "mixed", "echogenicity": "anechoic"}, "1 point"),
        ("volume_doubling_time", {"earlier_diameter": "9 mm"}, "stable or smaller"),
        ("volume_doubling_time", {"later_date": "2026-01-10"}, "0 days"),
        ("winters_formula", {"bicarbonate": "22 mmol/L"}, "metabolic acidosis"),
        ("adrenal_washout", {"unenhanced": "40 HU", "enhanced": "45 HU"}, "enhances"),
    ],
)
def test_values_that_do_not_belong_together_are_refused(
    calculate: Calculate, tool: str, stated: dict[str, Any], words: str
) -> None:
    with pytest.raises(ToolRefusedError, match=re.escape(words)):
        calculate(tool, **stated)


# A calculator, what is stated, the patient, and the criterion that must judge its value as met.
FIRED: tuple[tuple[str, dict[str, Any], dict[str, Any], str], ...] = (
    ("egfr_creatinine", {"creatinine": "3 mg/dL"}, {}, "ckd-egfr"),
    ("qsofa", {"systolic": "90 mmHg"}, {}, "qsofa-high"),
    ("sofa", {"baseline": 0}, {}, "sofa-rise"),
    ("sirs", {"temperature": "39 °C", "heart_rate": "120 /min"}, {}, "sirs"),
    ("curb_65", {"urea": "9 mmol/L", "respiratory_rate": "32 /min"}, {}, "curb-65-severe"),
    ("news2", {"supplemental_oxygen": True, "consciousness": "voice"}, {"age": 60}, "news2-urgent"),
    ("glasgow_coma_scale", {"eyes": 1, "verbal": 1, "motor": 3}, {}, "coma-gcs"),
    ("cha2ds2_vasc", {"stroke": True}, {"sex": "female"}, "cha2ds2-vasc-women"),
    ("has_bled", {"stroke": True, "bleeding": True}, {}, "has-bled-high"),
    ("wells_pe", {"signs_of_thrombosis": True, "alternative_less_likely": True}, {}, "wells-embolism-likely"),
    ("wells_dvt", {"active_cancer": True, "tenderness": True}, {}, "wells-thrombosis-likely"),
    ("spesi", {"cancer": True}, {}, "spesi-high"),
    ("padua", {"active_cancer": True, "thrombophilia": True}, {}, "padua-high"),
    ("heart_score", {"history": "highly_suspicious", "ecg": "significant_st_deviation",
                     "troponin": "above_3_times_limit"}, {}, "heart-score-high"),
    ("grace", {"cardiac_arrest": True}, {}, "grace-high"),
    ("meld", {"bilirubin": "9 mg/dL"}, {}, "meld-transplant"),
    ("child_pugh", {"ascites": "moderate"}, {}, "child-pugh-b"),
    ("child_pugh", {"ascites": "moderate", "encephalopathy": "grade_3_or_4", "inr": 3}, {}, "child-pugh-c"),
    ("glasgow_blatchford", {"urea": "5 mmol/L"}, {}, "glasgow-blatchford-low"),
    ("alvarado", {"tenderness": True, "rebound": True, "migration": True, "anorexia": True}, {}, "alvarado-high"),
    ("nihss", {}, {}, "nihss-thrombectomy"),
    ("apgar", {"minute": 5}, {}, "apgar-low"),
    ("centor", {"exudate": True, "tender_nodes": True}, {}, "centor-high"),
    ("feverpain", {"fever": True, "purulence": True, "attended_rapidly": True, "inflamed_tonsils": True}, {},
     "feverpain-high"),
    ("isth_dic", {"platelets": "30 K/uL", "fibrin_marker": "strong_increase"}, {}, "isth-overt-dic"),
    ("plasmic", {"platelets": "12 K/uL"}, {}, "plasmic-high"),
    ("lrinec", {"sodium": "130 mmol/L"}, {}, "lrinec-high"),
    ("corrected_calcium", {"calcium": "3.4 mmol/L"}, {}, "hypercalcaemia-severe"),
    ("qtc", {"qt": "480 ms"}, {}, "qtc-torsade-risk"),
    ("mean_arterial_pressure", {"systolic": "70 mmHg", "diastolic": "40 mmHg"}, {}, "mean-arterial-pressure-low"),
    ("fleischner", {"diameter": "9 mm"}, {}, "nodule-solid-large"),
    ("body_mass_index", {"weight": "50 kg"}, {}, "underweight"),
)  # fmt: skip


@pytest.mark.parametrize(("tool", "stated", "patient", "criterion"), FIRED, ids=[item[3] for item in FIRED])
def test_a_value_meets_the_criterion_written_for_it(
    calculate: Calculate, tool: str, stated: dict[str, Any], patient: dict[str, Any], criterion: str
) -> None:
    evidence = [
        Evidence(id=f"x.t{number}", kind="measurement", content=item.text, name=item.name, value=item.value,
                 unit=item.unit, source=Source(kind="tool", name=tool))
        for number, item in enumerate(calculate(tool, **stated).values)
    ]  # fmt: skip
    verdicts = evaluate(shipped_criteria(), evidence, {"age": 50} | patient)
    assert criterion in {verdict.criterion for verdict in verdicts if verdict.judgement == "met"}


def value(tool: str, stated: dict[str, Any]) -> float:
    found = TOOLS[tool].run(TOOLS[tool].arguments.model_validate(stated), None)  # type: ignore[arg-type]
    assert isinstance(found, Calculated)
    return found.values[0].value


@given(st.floats(0.1, 29), st.floats(0.01, 1), st.floats(18, 120), st.sampled_from(["female", "male"]))
def test_filtration_falls_with_creatinine_and_age(creatinine: float, more: float, age: float, sex: str) -> None:
    stated = {"creatinine": f"{creatinine!r} mg/dL", "age": age, "sex": sex}
    first = value("egfr_creatinine", stated)
    assert value("egfr_creatinine", stated | {"creatinine": f"{creatinine + more!r} mg/dL"}) <= first
    assert value("egfr_creatinine", stated | {"age": min(120, age + more)}) <= first


@given(st.floats(0.1, 50), st.floats(0.5, 15), st.floats(0.1, 20), st.floats(110, 145), st.floats(0, 5))
def test_meld_rises_with_each_part_and_falls_with_sodium(
    bilirubin: float, inr: float, creatinine: float, sodium: float, more: float
) -> None:
    def stated(**added: float) -> dict[str, Any]:
        return {
            "bilirubin": f"{bilirubin + added.get('bilirubin', 0)!r} mg/dL", "inr": inr + added.get("inr", 0),
            "creatinine": f"{creatinine + added.get('creatinine', 0)!r} mg/dL", "dialysis": False,
        }  # fmt: skip

    first = value("meld", stated())
    assert 6 <= first <= 40
    assert all(value("meld", stated(**{part: more})) >= first for part in ("bilirubin", "inr", "creatinine"))
    low, high = ({"sodium": f"{level!r} mmol/L"} for level in (sodium, sodium + more))
    assert value("meld_na", stated() | low) >= value("meld_na", stated() | high)


@given(st.floats(0.2, 25))
def test_both_units_of_creatinine_give_one_filtration(creatinine: float) -> None:
    stated = {"age": 60, "sex": "female"}
    in_moles = value("egfr_creatinine", stated | {"creatinine": f"{creatinine * 10000 / 113.12!r} umol/L"})
    assert in_moles == pytest.approx(value("egfr_creatinine", stated | {"creatinine": f"{creatinine!r} mg/dL"}), abs=1)


@given(st.integers(0, 10**6))
def test_halves_are_rounded_up(number: int) -> None:
    assert half_up(number + 0.5) == number + 1
    assert half_up(number + 0.49) == number
