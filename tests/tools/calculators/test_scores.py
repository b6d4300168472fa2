"""Every score: published examples, the range of its sum, the bounds of its classes, and what each answer adds."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, get_args

import pytest

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.calculators.amounts import Amount
from polyclinic.tools.calculators.points import Calculated
from polyclinic.tools.calculators.table import CALCULATORS
from polyclinic.tools.card import Tool

Calculate = Callable[..., Calculated]

# The least and the greatest sum, as the sources print or imply them.
RANGES = {
    "abcd2": (0, 7), "alvarado": (0, 10), "apgar": (0, 10), "bisap": (0, 5), "bishop": (0, 13), "centor": (0, 4),
    "cha2ds2_vasc": (0, 9), "child_pugh": (5, 15), "curb_65": (0, 5), "feverpain": (0, 5),
    "glasgow_blatchford": (0, 23),
    "glasgow_coma_scale": (3, 15), "grace": (1, 372), "has_bled": (0, 9), "heart_score": (0, 10), "ich_score": (0, 6),
    "isth_dic": (0, 8), "lrinec": (0, 13), "news2": (0, 20), "nihss": (0, 42), "padua": (0, 20), "perc": (0, 8),
    "plasmic": (0, 7), "qsofa": (0, 3), "revised_geneva": (0, 22), "rockall": (0, 11), "sirs": (0, 4), "sofa": (0, 24),
    "spesi": (0, 6), "timi": (0, 7), "wells_dvt": (-2, 9), "wells_pe": (0, 12.5),
}  # fmt: skip


def _answers(tool: Tool, name: str) -> list[Any]:
    """What may be answered to one argument: all of a list, or a quantity from one end of its range to the other."""
    field = tool.arguments.model_fields[name]
    options = [
        *field.metadata,
        *(part for kind in get_args(field.annotation) for part in getattr(kind, "__metadata__", ())),
    ]
    for part in options:
        if isinstance(part, Amount):
            steps = [part.low + (part.high - part.low) * step / 96 for step in range(97)]
            if part.whole:
                steps = sorted({float(round(step)) for step in steps})
            return [part.write(float(f"{step:.6g}")) for step in steps]
    if field.annotation is bool or bool in get_args(field.annotation):
        return [False, True]
    if field.annotation is datetime.date:
        return ["2026-06-20"]
    return list(get_args(field.annotation))


@pytest.mark.parametrize("name", sorted(RANGES))
def test_a_score_spans_the_published_range(calculate: Calculate, name: str) -> None:
    """The items are separate but for a few that share arguments, so two rounds find the least and the greatest sum."""
    tool = {tool.card.name: tool for tool in CALCULATORS}[name]
    reached = []
    for best in (min, max):
        stated: dict[str, Any] = {}
        for _ in range(2):
            for argument in tool.arguments.model_fields:
                scored = []
                for answer in _answers(tool, argument):
                    try:
                        result = calculate(name, **stated | {argument: answer})
                    except ToolRefusedError:
                        continue
                    scored.append((result.values[0].value, answer))
                stated[argument] = best(scored, key=lambda pair: pair[0])[1]
        reached.append(calculate(name, **stated).values[0].value)
    assert tuple(reached) == RANGES[name]


@pytest.mark.parametrize("name", sorted(RANGES))
def test_a_score_is_the_sum_of_its_points(calculate: Calculate, name: str) -> None:
    result = calculate(name)
    shared = [item for item in result.components if "McIsaac" not in item.item]
    assert result.values[0].value == pytest.approx(sum(item.points for item in shared))
    assert all(item.item and item.stated and item.why for item in result.components)


def test_grace_gives_the_published_example(calculate: Calculate) -> None:
    """Granger 2003: Killip II 20, 99 mmHg 53, 100 /min 15, 65 years 58, 1 mg/dL 7, no arrest 0, ST 28, enzymes 14."""
    result = calculate(
        "grace", age=65, heart_rate="100 /min", systolic="99 mmHg", creatinine="1 mg/dL", killip="II",
        cardiac_arrest=False, st_deviation=True, raised_enzymes=True,
    )  # fmt: skip
    assert [item.points for item in result.components] == [20, 53, 15, 58, 7, 0, 28, 14]
    assert result.values[0].value == 195


def test_the_pneumonia_index_adds_up(calculate: Calculate) -> None:
    """A woman of 80 from a nursing home with heart failure, confused, 32 /min, pH 7.30, sodium 128:
    80 - 10 + 10 + 10 + 20 + 20 + 30 + 20 = 180, class V."""
    stated = {
        "age": 80, "sex": "female", "nursing_home": True, "heart_failure": True, "altered_mental_status": True,
        "respiratory_rate": "32 /min", "pulse": "90 /min", "systolic": "120 mmHg", "temperature": "37 °C",
        "arterial_ph": 7.30, "sodium": "128 mmol/L",
    }  # fmt: skip
    result = calculate("pneumonia_severity_index", **stated)
    assert result.values[0].value == 180
    assert result.interpretation.startswith("class V")
    assert "urea" in result.limitations[0]
    assert "sodium" not in result.limitations[0]


def test_the_pneumonia_index_gives_class_1_without_points_of_illness_or_signs(calculate: Calculate) -> None:
    well = {"age": 50, "sex": "male", "pulse": "124 /min", "systolic": "90 mmHg", "temperature": "39.9 °C"}
    assert calculate("pneumonia_severity_index", **well).interpretation.startswith("class I,")
    low = calculate("pneumonia_severity_index", **well, oxygen_saturation="89 %", arterial_oxygen="61 mmHg")
    assert low.values[0].value == calculate("pneumonia_severity_index", **well).values[0].value + 10
    for worse in ({"age": 51}, {"pulse": "125 /min"}, {"temperature": "40 °C"}, {"liver_disease": True}):
        assert calculate("pneumonia_severity_index", **well | worse).interpretation.startswith("class II,")


@pytest.mark.parametrize(
    ("name", "stated", "points", "words"),
    [
        # Each value at the bound, then just short of it.
        ("curb_65", {"confusion": False, "urea": "7.01 mmol/L", "respiratory_rate": "30 /min", "systolic": "89 mmHg",
                     "diastolic": "70 mmHg", "age": 65}, 4, "severe"),
        ("curb_65", {"confusion": False, "urea": "7 mmol/L", "respiratory_rate": "29 /min", "systolic": "90 mmHg",
                     "diastolic": "61 mmHg", "age": 64}, 0, "low risk"),
        ("curb_65", {"confusion": True, "urea": "7 mmol/L", "respiratory_rate": "29 /min", "systolic": "90 mmHg",
                     "diastolic": "60 mmHg", "age": 64}, 2, "intermediate"),
        ("qsofa", {"respiratory_rate": "22 /min", "systolic": "100 mmHg", "coma_scale": 15}, 2, "raised"),
        ("qsofa", {"respiratory_rate": "21 /min", "systolic": "101 mmHg", "coma_scale": 14}, 1, "not raised"),
        ("sirs", {"temperature": "38.0 °C", "heart_rate": "90 /min", "respiratory_rate": "20 /min",
                  "white_cells": "12 K/uL"}, 0, "no systemic"),
        ("sirs", {"temperature": "35.9 °C", "heart_rate": "91 /min", "respiratory_rate": "20 /min",
                  "white_cells": "12 K/uL"}, 2, "systemic"),
        ("wells_pe", {"heart_rate": "101 /min", "immobilised_or_surgery": True, "haemoptysis": True}, 4, "unlikely"),
        ("wells_pe", {"heart_rate": "101 /min", "signs_of_thrombosis": True}, 4.5, "likely"),
        ("wells_dvt", {"tenderness": True, "pitting_oedema": True}, 2, "likely"),
        ("revised_geneva", {"age": 66, "heart_rate": "94 /min"}, 4, "intermediate"),
        ("revised_geneva", {"age": 65, "heart_rate": "95 /min", "unilateral_leg_pain": True,
                            "previous_thromboembolism": True}, 11, "high"),
        ("perc", {"age": 49, "heart_rate": "99 /min", "oxygen_saturation": "95 %"}, 0, "excluded without"),
        ("perc", {"age": 50, "heart_rate": "100 /min", "oxygen_saturation": "94.9 %"}, 3, "not excluded"),
        ("spesi", {"age": 80, "heart_rate": "109 /min", "systolic": "100 mmHg", "oxygen_saturation": "90 %"}, 0, "low"),
        ("spesi", {"age": 81, "heart_rate": "110 /min", "systolic": "99 mmHg", "oxygen_saturation": "89 %"}, 4,
         "raised"),
        ("cha2ds2_vasc", {"age": 64, "sex": "male"}, 0, "low"),
        ("cha2ds2_vasc", {"age": 65, "sex": "female"}, 2, "raised"),
        ("cha2ds2_vasc", {"age": 75, "sex": "male", "stroke": True}, 4, "raised"),
        ("has_bled", {"age": 66, "drugs": True, "alcohol": True}, 3, "high"),
        ("heart_score", {"age": 45, "history": "moderately_suspicious", "troponin": "above_3_times_limit"}, 4,
         "moderate"),
        ("child_pugh", {"bilirubin": "2 mg/dL", "albumin": "3.5 g/dL", "inr": 1.69}, 7, "class B"),
        ("child_pugh", {"bilirubin": "3.1 mg/dL", "albumin": "2.7 g/dL", "inr": 2.4}, 11, "class C"),
        ("child_pugh", {"bilirubin": "1.9 mg/dL", "albumin": "3.6 g/dL", "inr": 1.7}, 6, "class A"),
        ("glasgow_blatchford", {"urea": "6.4 mmol/L", "haemoglobin": "13 g/dL", "sex": "male", "systolic": "110 mmHg",
                                "pulse": "99 /min"}, 0, "very low"),
        ("glasgow_blatchford", {"urea": "25 mmol/L", "haemoglobin": "9.9 g/dL", "sex": "female", "systolic": "89 mmHg",
                                "pulse": "100 /min"}, 16, "hospital"),
        ("glasgow_blatchford", {"urea": "8 mmol/L", "haemoglobin": "10 g/dL", "sex": "male", "systolic": "109 mmHg",
                                "pulse": "80 /min"}, 7, "hospital"),
        ("bisap", {"urea": "25 mg/dL", "coma_scale": 15, "sirs_criteria": 2, "age": 61}, 2, "low"),
        ("bisap", {"urea": "25.1 mg/dL", "coma_scale": 14, "sirs_criteria": 1, "age": 61}, 3, "raised"),
        ("alvarado", {"temperature": "37.3 °C", "white_cells": "10.1 K/uL", "neutrophils": "76 %", "tenderness": True,
                      "rebound": True}, 7, "probable"),
        ("abcd2", {"age": 60, "systolic": "139 mmHg", "diastolic": "90 mmHg", "features": "other",
                   "duration": "10_to_59_minutes"}, 3, "low"),
        ("abcd2", {"age": 60, "systolic": "140 mmHg", "diastolic": "80 mmHg", "features": "unilateral_weakness",
                   "duration": "60_minutes_or_more"}, 6, "high"),
        ("ich_score", {"coma_scale": 5, "volume": "30 mL", "age": 80}, 3, "72 %"),
        ("ich_score", {"coma_scale": 4, "volume": "29 cm3", "age": 79}, 2, "26 %"),
        ("glasgow_coma_scale", {"eyes": 2, "verbal": 2, "motor": 4}, 8, "coma"),
        ("bishop", {"dilatation": "3 cm", "effacement": "60 %", "station": -1, "consistency": "soft",
                    "position": "middle"}, 9, "favourable"),
        ("isth_dic", {"platelets": "49 K/uL", "fibrin_marker": "moderate_increase", "prothrombin_prolongation": "3 s",
                      "fibrinogen": "101 mg/dL"}, 5, "overt"),
        ("plasmic", {"platelets": "29 K/uL", "haemolysis": True, "mean_cell_volume": "89 fL", "inr": 1.49,
                     "creatinine": "1.99 mg/dL"}, 7, "high"),
        ("lrinec", {"c_reactive_protein": "150 mg/L", "white_cells": "15 K/uL", "haemoglobin": "13.5 g/dL",
                    "sodium": "135 mmol/L", "creatinine": "1.6 mg/dL", "glucose": "180 mg/dL"}, 6, "intermediate"),
        ("padua", {"reduced_mobility": True, "age": 70, "bmi": "29 kg/m2"}, 4, "high"),
        ("news2", {"respiratory_rate": "20 /min", "oxygen_saturation": "96 %", "systolic": "111 mmHg",
                   "pulse": "90 /min", "temperature": "36.1 °C"}, 0, "low risk"),
        ("news2", {"respiratory_rate": "25 /min", "oxygen_saturation": "96 %", "systolic": "219 mmHg",
                   "pulse": "51 /min", "temperature": "38 °C"}, 3, "low to medium"),
        ("news2", {"respiratory_rate": "24 /min", "oxygen_saturation": "91 %", "systolic": "100 mmHg",
                   "pulse": "131 /min", "temperature": "39.1 °C"}, 12, "high"),
        ("news2", {"respiratory_rate": "18 /min", "oxygen_saturation": "97 %", "hypercapnic_target": True,
                   "supplemental_oxygen": True, "systolic": "120 mmHg", "pulse": "70 /min", "temperature": "37 °C"}, 5,
         "medium"),
        ("news2", {"respiratory_rate": "18 /min", "oxygen_saturation": "97 %", "hypercapnic_target": True,
                   "supplemental_oxygen": False, "systolic": "120 mmHg", "pulse": "70 /min", "temperature": "37 °C"}, 0,
         "low"),
        ("sofa", {"arterial_oxygen": "60 mmHg", "fio2": 0.7, "respiratory_support": False, "platelets": "19 K/uL",
                  "bilirubin": "12 mg/dL", "mean_arterial_pressure": "69 mmHg", "vasopressor": "none", "coma_scale": 5,
                  "creatinine": "1.9 mg/dL"}, 16, "rise"),
        ("ti_rads", {"composition": "solid", "echogenicity": "hypoechoic", "diameter": "1.5 cm"}, 4, "TR4"),
        ("ti_rads", {"composition": "spongiform", "echogenicity": "very_hypoechoic", "shape": "taller_than_wide",
                     "punctate_foci": True}, 0, "TR1"),
        ("ti_rads", {"composition": "solid", "echogenicity": "very_hypoechoic", "shape": "taller_than_wide",
                     "margin": "extrathyroidal_extension", "comet_tail": False, "macrocalcifications": True,
                     "rim_calcifications": True, "punctate_foci": True, "diameter": "4 mm"}, 17, "no follow-up"),
    ],
)  # fmt: skip
def test_bounds_belong_to_the_class_the_source_says(
    calculate: Calculate, name: str, stated: dict[str, Any], points: float, words: str
) -> None:
    result = calculate(name, **stated)
    assert result.values[0].value == points
    assert words in result.interpretation


@pytest.mark.parametrize(
    ("diameter", "advice"),
    [("15 mm", "aspiration at"), ("1.4 cm", "follow-up at"), ("1.0 cm", "follow-up at"), ("0.9 cm", "no follow-up at")],
)
def test_ti_rads_4_asks_for_a_needle_from_15_mm_and_follow_up_from_10(
    calculate: Calculate, diameter: str, advice: str
) -> None:
    result = calculate("ti_rads", composition="solid", echogenicity="hypoechoic", diameter=diameter)
    assert advice in result.interpretation
    assert result.values[1].name == "tr4_thyroid_nodule_diameter"


def test_a_rise_in_sofa_of_two_is_sepsis(calculate: Calculate) -> None:
    acute = calculate("sofa", baseline=0, arterial_oxygen="90 mmHg", fio2=0.21, platelets="140 K/uL",
                      mean_arterial_pressure="69 mmHg", coma_scale=15, creatinine="1 mg/dL")  # fmt: skip
    assert [item.name for item in acute.values] == ["sofa_score", "sofa_score_increase"]
    assert acute.values[1].value == 2
    assert acute.interpretation.startswith("sepsis")


def test_mcisaac_adds_and_takes_a_point_by_age(calculate: Calculate) -> None:
    def score(age: int) -> float:
        return calculate("centor", exudate=True, temperature="37 °C", cough=True, age=age).values[1].value

    assert [score(age) for age in (14, 15, 44, 45)] == [2, 1, 1, 0]


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"malleolar_pain": True, "lateral_malleolus": True}, "a radiograph of the ankle is needed"),
        ({"midfoot_pain": True, "navicular": True}, "a radiograph of the foot is needed"),
        ({"malleolar_pain": True, "midfoot_pain": True, "cannot_bear_weight": True}, "the ankle and the foot"),
        ({"malleolar_pain": False, "lateral_malleolus": True}, "no radiograph"),
    ],
)
def test_ottawa_needs_pain_and_a_sign(calculate: Calculate, stated: dict[str, bool], words: str) -> None:
    assert words in calculate("ottawa_ankle", **stated).interpretation
