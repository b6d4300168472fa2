"""Every formula against arithmetic done by hand from its source; published examples are named as such."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from polyclinic.tools.calculators.points import Calculated

MALE: dict[str, Any] = {"sex": "male"}
FEMALE: dict[str, Any] = {"sex": "female"}

# (tool, what is stated, measurement, value, working)
EXAMPLES: tuple[tuple[str, dict[str, Any], str, float, str], ...] = (
    ("egfr_creatinine", MALE | {"creatinine": "1.0 mg/dL", "age": 50}, "egfr", 92,
     "142 x (1.0/0.9)^-1.2 x 0.9938^50 = 142 x 0.8812 x 0.7328 = 91.7"),
    ("egfr_creatinine", FEMALE | {"creatinine": "0.6 mg/dL", "age": 30}, "egfr", 124,
     "142 x (0.6/0.7)^-0.241 x 0.9938^30 x 1.012 = 142 x 1.0378 x 0.8298 x 1.012 = 123.8"),
    ("egfr_creatinine", FEMALE | {"creatinine": "1.4 mg/dL", "age": 70}, "egfr", 40,
     "142 x 2^-1.2 x 0.9938^70 x 1.012 = 142 x 0.4353 x 0.6470 x 1.012 = 40.5, below a half: 40.47"),
    ("egfr_cystatin_c", MALE | {"cystatin_c": "1.6 mg/L", "age": 60}, "egfr", 42,
     "133 x 2^-1.328 x 0.996^60 = 133 x 0.3983 x 0.7862 = 41.6"),
    ("egfr_cystatin_c", FEMALE | {"cystatin_c": "0.8 mg/L", "age": 40}, "egfr", 106,
     "133 x 1 x 0.996^40 x 0.932 = 133 x 0.8519 x 0.932 = 105.6"),
    ("egfr_creatinine_cystatin_c", MALE | {"creatinine": "1.8 mg/dL", "cystatin_c": "1.6 mg/L", "age": 60}, "egfr", 43,
     "135 x 2^-0.544 x 2^-0.778 x 0.9961^60 = 135 x 0.6859 x 0.5832 x 0.7910 = 42.7"),
    ("egfr_child", {"creatinine": "0.5 mg/dL", "height": "100 cm", "age": 4}, "egfr", 83, "0.413 x 100 / 0.5 = 82.6"),
    ("creatinine_clearance", MALE | {"creatinine": "1.0 mg/dL", "age": 40, "weight": "72 kg"}, "creatinine_clearance",
     100, "(140 - 40) x 72 / (72 x 1.0) = 100"),
    ("creatinine_clearance", FEMALE | {"creatinine": "1.0 mg/dL", "age": 40, "weight": "72 kg"}, "creatinine_clearance",
     85, "0.85 of it"),
    ("fractional_excretion_sodium", {"urine_sodium": "10 mmol/L", "serum_sodium": "140 mmol/L",
     "urine_creatinine": "100 mg/dL", "serum_creatinine": "2 mg/dL"}, "fractional_excretion_of_sodium", 0.14,
     "10 x 2 / (140 x 100) = 0.00143"),
    ("fractional_excretion_urea", {"urine_urea": "300 mmol/L", "serum_urea": "20 mmol/L",
     "urine_creatinine": "100 mg/dL", "serum_creatinine": "2 mg/dL"}, "fractional_excretion_of_urea", 30,
     "300 x 2 / (20 x 100) = 0.30"),
    ("free_water_deficit", MALE | {"sodium": "154 mmol/L", "weight": "70 kg", "age": 40}, "free_water_deficit", 4.2,
     "0.6 x 70 x (154/140 - 1) = 42 x 0.1"),
    ("free_water_deficit", FEMALE | {"sodium": "154 mmol/L", "weight": "60 kg", "age": 80}, "free_water_deficit", 2.7,
     "0.45 x 60 x 0.1"),
    ("meld", {"bilirubin": "3 mg/dL", "inr": 1.5, "creatinine": "1.8 mg/dL"}, "meld", 21,
     "3.78 x 1.0986 + 11.2 x 0.4055 + 9.57 x 0.5878 + 6.43 = 4.153 + 4.541 + 5.625 + 6.43 = 20.75"),
    ("meld", {"bilirubin": "0.5 mg/dL", "inr": 0.9, "creatinine": "0.6 mg/dL"}, "meld", 6, "all taken as 1: 6.43"),
    ("meld", {"bilirubin": "50 mg/dL", "inr": 9, "creatinine": "9 mg/dL"}, "meld", 40,
     "14.79 + 24.61 + 9.57 ln 4 = 13.27 + 6.43 = 59.1, at most 40"),
    ("meld_na", {"bilirubin": "3 mg/dL", "inr": 1.5, "creatinine": "1.8 mg/dL", "sodium": "128 mmol/L"}, "meld_na", 27,
     "21 + 1.32 x 9 - 0.033 x 21 x 9 = 21 + 11.88 - 6.237 = 26.64"),
    ("meld_na", {"bilirubin": "1.2 mg/dL", "inr": 1.1, "creatinine": "1 mg/dL", "sodium": "120 mmol/L"}, "meld_na", 8,
     "0.689 + 1.067 + 6.43 = 8.19, not above 11: sodium does not count"),
    ("meld_3", {"bilirubin": "3 mg/dL", "inr": 1.5, "creatinine": "1.8 mg/dL", "sodium": "128 mmol/L",
     "albumin": "2.8 g/dL", "female": True}, "meld_3_0", 28,
     "1.33 + 4.56 x 1.0986 + 0.82 x 9 - 0.24 x 9 x 1.0986 + 9.09 x 0.4055 + 11.14 x 0.5878 + 1.85 x 0.7 - 1.83 x 0.7 x "
     "0.5878 + 6 = 1.33 + 5.010 + 7.38 - 2.373 + 3.686 + 6.548 + 1.295 - 0.753 + 6 = 28.12"),
    ("fib_4", {"age": 50, "ast": "80 U/L", "alt": "64 U/L", "platelets": "200 K/uL"}, "fib-4", 2.5,
     "50 x 80 / (200 x 8)"),
    ("apri", {"ast": "80 U/L", "ast_upper_limit": "40 U/L", "platelets": "100 K/uL"}, "apri", 2.0, "100 x 2 / 100"),
    ("maddrey", {"prothrombin_time": "20 s", "control_prothrombin_time": "12 s", "bilirubin": "10 mg/dL"},
     "maddrey_discriminant_function", 46.8, "4.6 x 8 + 10"),
    ("albi", {"albumin": "40 g/L", "bilirubin": "10 umol/L"}, "albi_score", -2.74, "0.66 x 1 - 0.085 x 40"),
    ("saag", {"serum_albumin": "3.5 g/dL", "ascites_albumin": "20 g/L"}, "serum-ascites_albumin_gradient", 1.5,
     "3.5 - 2.0"),
    ("alveolar_arterial_gradient", {"arterial_oxygen": "90 mmHg", "arterial_carbon_dioxide": "40 mmHg", "fio2": 0.21,
     "age": 30}, "alveolar-arterial_gradient", 10, "0.21 x (760 - 47) - 40/0.8 - 90 = 149.73 - 50 - 90 = 9.7"),
    ("alveolar_arterial_gradient", {"arterial_oxygen": "60 mmHg", "arterial_carbon_dioxide": "30 mmHg", "fio2": 0.21,
     "age": 30, "altitude": "1600 m"}, "alveolar_oxygen", 84,
     "760 x (1 - 0.036092)^5.25588 = 626.5; 0.21 x (626.5 - 47) - 37.5 = 84.2"),
    ("pf_ratio", {"arterial_oxygen": "80 mmHg", "fio2": "50 %"}, "pao2_fio2_ratio", 160, "80 / 0.5"),
    ("rox_index", {"oxygen_saturation": "92 %", "fio2": 0.5, "respiratory_rate": "32 /min"}, "rox_index", 5.75,
     "92 / 0.5 / 32"),
    ("light_criteria", {"pleural_protein": "30 g/L", "serum_protein": "60 g/L", "pleural_ldh": "100 U/L",
     "serum_ldh": "200 U/L", "ldh_upper_limit": "240 U/L"}, "light_criteria", 0, "0.5, 0.5 and 0.42: none is exceeded"),
    ("qtc", {"qt": "400 ms", "heart_rate": "75 /min"}, "qtc_bazett", 447, "400 / sqrt(0.8) = 447.2"),
    ("qtc", {"qt": "400 ms", "heart_rate": "75 /min"}, "qtc", 431, "400 / 0.8^(1/3) = 400 / 0.92832 = 430.9"),
    ("qtc", {"qt": "400 ms", "heart_rate": "75 /min"}, "qtc_framingham", 431, "400 + 154 x 0.2 = 430.8"),
    ("qtc", {"qt": "0.4 s", "heart_rate": "75 bpm"}, "qtc_hodges", 426, "400 + 1.75 x 15 = 426.25"),
    ("ankle_brachial_index", {"ankle_systolic": "90 mmHg", "brachial_systolic": "120 mmHg"}, "ankle-brachial_index",
     0.75, "90 / 120"),
    ("mean_arterial_pressure", {"systolic": "120 mmHg", "diastolic": "75 mmHg"}, "mean_arterial_pressure", 90,
     "(120 + 150) / 3"),
    ("shock_index", {"heart_rate": "120 /min", "systolic": "80 mmHg"}, "shock_index", 1.5, "120 / 80"),
    ("parkland", {"weight": "70 kg", "burnt_surface": "40 %", "age": 30}, "parkland_fluid", 11200, "4 x 70 x 40"),
    ("corrected_calcium", {"calcium": "2.00 mmol/L", "albumin": "20 g/L"}, "corrected_calcium", 2.4,
     "2.00 + 0.02 x 20"),
    ("anion_gap", {"sodium": "140 mmol/L", "chloride": "100 mmol/L", "bicarbonate": "14 mmol/L"}, "anion_gap", 26,
     "140 - 114"),
    ("anion_gap", {"sodium": "140 mmol/L", "chloride": "100 mmol/L", "bicarbonate": "14 mmol/L"}, "delta_ratio", 1.4,
     "(26 - 12) / (24 - 14)"),
    ("anion_gap", {"sodium": "140 mmol/L", "chloride": "108 mmol/L", "bicarbonate": "20 mmol/L", "albumin": "2 g/dL"},
     "albumin-corrected_anion_gap", 17, "12 + 2.5 x (4 - 2)"),
    ("serum_osmolality", {"sodium": "140 mmol/L", "glucose": "5 mmol/L", "urea": "5 mmol/L"}, "calculated_osmolality",
     290, "280 + 5 + 5"),
    ("serum_osmolality", {"sodium": "140 mmol/L", "glucose": "5 mmol/L", "urea": "5 mmol/L",
     "measured_osmolality": "320 mOsm/kg"}, "osmolal_gap", 30, "320 - 290"),
    ("winters_formula", {"bicarbonate": "12 mmol/L"}, "expected_paco2", 26, "1.5 x 12 + 8"),
    ("corrected_sodium", {"sodium": "130 mmol/L", "glucose": "600 mg/dL"}, "corrected_sodium", 138, "130 + 1.6 x 5"),
    ("corrected_sodium", {"sodium": "130 mmol/L", "glucose": "600 mg/dL"}, "corrected_sodium_hillier", 142,
     "130 + 2.4 x 5"),
    ("ldl_friedewald", {"total_cholesterol": "200 mg/dL", "hdl_cholesterol": "50 mg/dL", "triglycerides": "150 mg/dL"},
     "ldl_cholesterol", 120, "200 - 50 - 30"),
    ("estimated_average_glucose", {"hba1c": "7 %"}, "estimated_average_glucose", 154,
     "28.7 x 7 - 46.7 = 154.2; the source prints 154 for 7 %"),
    ("estimated_average_glucose", {"hba1c": "10 %"}, "estimated_average_glucose", 240, "printed there"),
    ("body_mass_index", {"weight": "81 kg", "height": "1.8 m"}, "body_mass_index", 25, "81 / 3.24"),
    ("body_surface_area", {"weight": "80 kg", "height": "180 cm"}, "body_surface_area", 2.0, "sqrt(14400 / 3600)"),
    ("body_surface_area", {"weight": "70 kg", "height": "170 cm"}, "body_surface_area_du_bois", 1.81,
     "0.007184 x 70^0.425 x 170^0.725 = 0.007184 x 6.083 x 41.40 = 1.809"),
    ("ideal_body_weight", MALE | {"height": "70 in"}, "ideal_body_weight", 73, "50 + 2.3 x 10"),
    ("ideal_body_weight", FEMALE | {"height": "64 in", "weight": "94.7 kg"}, "adjusted_body_weight", 70.7,
     "45.5 + 9.2 = 54.7; 54.7 + 0.4 x 40"),
    ("resting_energy", MALE | {"weight": "80 kg", "height": "180 cm", "age": 40}, "resting_energy_expenditure", 1730,
     "800 + 1125 - 200 + 5"),
    ("resting_energy", FEMALE | {"weight": "60 kg", "height": "160 cm", "age": 30}, "resting_energy_expenditure", 1289,
     "600 + 1000 - 150 - 161"),
    ("maintenance_fluid", {"weight": "25 kg"}, "maintenance_fluid", 1600, "1000 + 500 + 5 x 20"),
    ("gestational_age_lmp", {"last_period": "2026-01-01", "on": "2026-03-12"}, "gestational_age", 10, "70 days"),
    ("gestational_age_crl", {"crown_rump_length": "45 mm", "on": "2026-03-12"}, "gestational_age", 11.3,
     "8.052 x sqrt(46.665) + 23.73 = 55.00 + 23.73 = 78.7: 79 days, 11 weeks and 2 days, as the NHS programme prints"),
    ("gestational_age_crl", {"crown_rump_length": "84 mm", "on": "2026-03-12"}, "gestational_age", 14.1,
     "8.052 x sqrt(87.108) + 23.73 = 98.9: 99 days, 14 weeks and 1 day, as the NHS programme prints"),
    ("fetal_weight", {"biparietal_diameter": "8 cm", "head_circumference": "295 mm", "abdominal_circumference": "28 cm",
     "femur_length": "6.1 cm"}, "estimated_fetal_weight", 1881,
     "1.3596 - 0.65929 + 0.1888 + 0.13664 + 1.1872 + 1.0614 = 3.27435; 10^3.27435 = 1880.8"),
    ("neutrophil_count", {"white_cells": "2.0 K/uL", "neutrophils": "20 %", "bands": "5 %"},
     "absolute_neutrophil_count", 0.5, "2 x 0.25"),
    ("mentzer_index", {"mean_cell_volume": "60 fL", "red_cells": "6 10^12/L"}, "mentzer_index", 10, "60 / 6"),
    ("volume_doubling_time", {"earlier_diameter": "5 mm", "later_diameter": "10 mm", "earlier_date": "2026-01-01",
     "later_date": "2026-10-28"}, "volume_doubling_time", 100, "eight times the volume in 300 days: three doublings"),
    ("adrenal_washout", {"unenhanced": "20 HU", "enhanced": "100 HU", "delayed": "40 HU"}, "absolute_adrenal_washout",
     75, "60 / 80"),
    ("adrenal_washout", {"unenhanced": "20 HU", "enhanced": "100 HU", "delayed": "40 HU"}, "relative_adrenal_washout",
     60, "60 / 100"),
    ("ellipsoid_volume", {"organ": "ovary", "length": "3 cm", "width": "2 cm", "height": "1 cm"}, "ovary_volume", 3.1,
     "0.5236 x 6 = 3.14"),
    ("psa_density", {"psa": "6 ng/mL", "prostate_volume": "40 mL"}, "psa_density", 0.15, "6 / 40"),
    ("haematoma_volume", {"length": "5 cm", "width": "4 cm", "height": "30 mm"}, "intracerebral_haemorrhage_volume", 30,
     "5 x 4 x 3 / 2"),
    ("cardiothoracic_ratio", {"heart_width": "15 cm", "thorax_width": "300 mm"}, "cardiothoracic_ratio", 0.5,
     "15 / 30"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "stated", "measurement", "value", "working"), EXAMPLES)
def test_a_formula_gives_what_hand_arithmetic_gives(
    calculate: Callable[..., Calculated],
    name: str,
    stated: dict[str, Any],
    measurement: str,
    value: float,
    working: str,
) -> None:
    found = {item.name: item.value for item in calculate(name, **stated).values}
    assert found[measurement] == pytest.approx(value, abs=1e-9), working


@pytest.mark.parametrize(
    ("sex", "group", "risk"),
    [
        ("female", "white_or_other", 2.1), ("female", "african_american", 3.0), ("male", "white_or_other", 5.3),
        ("male", "african_american", 6.1),
    ],
)  # fmt: skip
def test_the_pooled_cohort_equations_give_the_published_examples(
    calculate: Callable[..., Calculated], sex: str, group: str, risk: float
) -> None:
    """Goff 2014, table A: 55 years, total cholesterol 213, HDL 50, untreated 120 mmHg, no smoking, no diabetes.

    The table rounds its terms before it adds them, which is worth 0.1 %.
    """
    result = calculate(
        "ascvd_risk", age=55, sex=sex, group=group, total_cholesterol="213 mg/dL", hdl_cholesterol="50 mg/dL",
        systolic="120 mmHg", treated=False, smoker=False, diabetes=False,
    )  # fmt: skip
    assert result.values[0].value == pytest.approx(risk, abs=0.11)


def test_the_due_date_is_280_days_after_the_last_period(calculate: Callable[..., Calculated]) -> None:
    """Naegele: 1 January, less three months, plus seven days and a year, is 8 October."""
    result = calculate("gestational_age_lmp", last_period="2026-01-01", on="2026-03-12")
    assert "due on 2026-10-08" in result.interpretation


@pytest.mark.parametrize(
    ("measured", "words"),
    [("26 mmHg", "agrees"), ("40 mmHg", "respiratory acidosis"), ("18 mmHg", "respiratory alkalosis")],
)
def test_winters_formula_names_a_second_disorder(
    calculate: Callable[..., Calculated], measured: str, words: str
) -> None:
    result = calculate("winters_formula", bicarbonate="12 mmol/L", arterial_carbon_dioxide=measured)
    assert words in result.interpretation


SOLID, GLASS, PART = {"kind": "solid"}, {"kind": "ground_glass"}, {"kind": "part_solid"}
ONE, MANY = {"multiple": False}, {"multiple": True}
LOW, HIGH = {"high_risk": False}, {"high_risk": True}


@pytest.mark.parametrize(
    ("stated", "diameter", "advice"),
    [
        (SOLID | ONE | LOW, "5.4 mm", "no routine follow-up"),
        (SOLID | ONE | HIGH, "5.4 mm", "optional CT at 12 months"),
        (SOLID | ONE | LOW, "5.5 mm", "CT at 6 to 12 months, then consider CT at 18 to 24 months"),
        (SOLID | ONE | HIGH, "8 mm", "CT at 6 to 12 months, then CT at 18 to 24 months"),
        (SOLID | ONE | LOW, "9 mm", "consider CT at 3 months, PET/CT or tissue sampling"),
        (SOLID | MANY | LOW, "4 mm", "no routine follow-up"),
        (SOLID | MANY | LOW, "7 mm", "CT at 3 to 6 months, then consider CT at 18 to 24 months"),
        (SOLID | MANY | HIGH, "12 mm", "CT at 3 to 6 months, then CT at 18 to 24 months"),
        (GLASS | ONE | HIGH, "5 mm", "no routine follow-up"),
        (GLASS | ONE | LOW, "6 mm", "CT at 6 to 12 months to confirm persistence, then every 2 years until 5 years"),
        (PART | ONE | LOW | {"solid_part": "3 mm"}, "8 mm",
         "CT at 3 to 6 months to confirm persistence; if unchanged, CT every year for 5 years"),
        (PART | ONE | LOW | {"solid_part": "6 mm"}, "8 mm",
         "CT at 3 to 6 months to confirm persistence; a persistent solid component of 6 mm or more is highly "
         "suspicious"),
        (GLASS | MANY | LOW, "5 mm", "CT at 3 to 6 months; if stable, consider CT at 2 and 4 years"),
        (PART | MANY | LOW, "6 mm", "CT at 3 to 6 months, then as the most suspicious nodule calls for"),
    ],
)  # fmt: skip
def test_fleischner_advises_what_its_table_says(
    calculate: Callable[..., Calculated], stated: dict[str, Any], diameter: str, advice: str
) -> None:
    assert calculate("fleischner", diameter=diameter, **stated).interpretation == advice
