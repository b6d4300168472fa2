"""Bounds of scores in the unit their source prints, met exactly by a value in that unit and by one converted to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from polyclinic.tools.calculators.points import Calculated

Calculate = Callable[..., Calculated]

# calculator, argument, item, then what is stated with the points it gives
BOUNDS: tuple[tuple[str, str, str, dict[str, float]], ...] = (
    ("pneumonia_severity_index", "urea", "urea",
     {"29.9 mg/dL": 0, "30 mg/dL": 20, "10.7 mmol/L": 0, "10.71 mmol/L": 20, "11 mmol/L": 20}),
    ("pneumonia_severity_index", "glucose", "glucose",
     {"249 mg/dL": 0, "250 mg/dL": 10, "13.8 mmol/L": 0, "13.9 mmol/L": 10, "14 mmol/L": 10}),
    ("pneumonia_severity_index", "arterial_oxygen", "oxygenation",
     {"59.9 mmHg": 10, "60 mmHg": 0, "7.9 kPa": 10, "8 kPa": 0}),
    ("pneumonia_severity_index", "temperature", "temperature",
     {"39.9 °C": 0, "40 °C": 15, "103.9 degF": 0, "104 degF": 15, "35 °C": 0, "95 degF": 0, "94.9 degF": 15}),
    ("pneumonia_severity_index", "systolic", "systolic pressure",
     {"89 mmHg": 20, "90 mmHg": 0, "11.9 kPa": 20, "12 kPa": 0}),
    ("curb_65", "urea", "urea", {"7 mmol/L": 0, "7.1 mmol/L": 1, "19.6 mg/dL": 0, "19.7 mg/dL": 1}),
    ("bisap", "urea", "urea", {"25 mg/dL": 0, "25.1 mg/dL": 1, "8.92 mmol/L": 0, "8.93 mmol/L": 1}),
    ("glasgow_blatchford", "urea", "urea",
     {"6.4 mmol/L": 0, "6.5 mmol/L": 2, "7.9 mmol/L": 2, "8 mmol/L": 3, "9.9 mmol/L": 3, "10 mmol/L": 4,
      "24.9 mmol/L": 4, "25 mmol/L": 6}),
    ("glasgow_blatchford", "urea", "urea",
     {"18 mg/dL": 0, "18.2 mg/dL": 2, "22 mg/dL": 2, "22.4 mg/dL": 3, "27 mg/dL": 3, "28 mg/dL": 4, "69 mg/dL": 4,
      "70 mg/dL": 6}),
    ("glasgow_blatchford", "haemoglobin", "haemoglobin", {"99 g/L": 6, "100 g/L": 1, "10 g/dL": 1, "120 g/L": 0}),
    ("lrinec", "glucose", "glucose", {"10 mmol/L": 0, "10.1 mmol/L": 1, "180 mg/dL": 0, "181 mg/dL": 1}),
    ("lrinec", "creatinine", "creatinine", {"141 umol/L": 0, "142 umol/L": 2, "1.6 mg/dL": 0, "1.61 mg/dL": 2}),
    ("lrinec", "c_reactive_protein", "C-reactive protein",
     {"149 mg/L": 0, "150 mg/L": 4, "14.9 mg/dL": 0, "15 mg/dL": 4}),
    ("lrinec", "haemoglobin", "haemoglobin", {"135 g/L": 1, "136 g/L": 0, "13.5 g/dL": 1, "110 g/L": 1, "109 g/L": 2}),
    ("lrinec", "sodium", "sodium", {"135 mEq/L": 0, "134 mEq/L": 2, "135 mmol/L": 0}),
    ("plasmic", "creatinine", "creatinine", {"2 mg/dL": 0, "1.99 mg/dL": 1, "176 umol/L": 1, "177 umol/L": 0}),
    ("plasmic", "platelets", "platelets", {"29999 /uL": 1, "30000 /uL": 0, "30 K/uL": 0, "30 10^9/L": 0}),
    ("sofa", "creatinine", "creatinine",
     {"1.19 mg/dL": 0, "1.2 mg/dL": 1, "2 mg/dL": 2, "3.5 mg/dL": 3, "5 mg/dL": 4, "106 umol/L": 0, "107 umol/L": 1,
      "177 umol/L": 2, "310 umol/L": 3, "443 umol/L": 4}),
    ("sofa", "bilirubin", "bilirubin",
     {"1.19 mg/dL": 0, "1.2 mg/dL": 1, "2 mg/dL": 2, "6 mg/dL": 3, "12 mg/dL": 4, "20 umol/L": 0, "21 umol/L": 1,
      "35 umol/L": 2, "103 umol/L": 3, "206 umol/L": 4}),
    ("sofa", "mean_arterial_pressure", "circulation", {"70 mmHg": 0, "69.9 mmHg": 1, "9.33 kPa": 1, "9.34 kPa": 0}),
    ("grace", "creatinine", "creatinine",
     {"0.39 mg/dL": 1, "0.4 mg/dL": 4, "4 mg/dL": 28, "353 umol/L": 21, "354 umol/L": 28, "36 umol/L": 4}),
    ("child_pugh", "bilirubin", "bilirubin",
     {"1.9 mg/dL": 1, "2 mg/dL": 2, "3 mg/dL": 2, "3.1 mg/dL": 3, "34 umol/L": 1, "35 umol/L": 2, "51 umol/L": 2,
      "52 umol/L": 3}),
    ("child_pugh", "albumin", "albumin",
     {"3.6 g/dL": 1, "3.5 g/dL": 2, "2.8 g/dL": 2, "2.7 g/dL": 3, "36 g/L": 1, "35 g/L": 2, "28 g/L": 2, "27 g/L": 3}),
    ("isth_dic", "fibrinogen", "fibrinogen", {"1 g/L": 1, "1.01 g/L": 0, "100 mg/dL": 1, "101 mg/dL": 0}),
    ("sirs", "arterial_carbon_dioxide", "breathing", {"31.9 mmHg": 1, "32 mmHg": 0, "4.2 kPa": 1, "4.3 kPa": 0}),
    ("sirs", "temperature", "temperature", {"38 °C": 0, "38.1 °C": 1, "100.4 degF": 0, "100.5 degF": 1}),
    ("alvarado", "temperature", "temperature", {"37.2 °C": 0, "37.3 °C": 1, "99.1 degF": 0, "99.2 degF": 1}),
    ("alvarado", "white_cells", "leucocytosis", {"10000 /uL": 0, "10100 /uL": 2, "10 K/uL": 0}),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "argument", "item", "stated", "points"),
    [(*bound[:3], stated, points) for bound in BOUNDS for stated, points in bound[3].items()],
)
def test_a_bound_is_the_same_in_every_unit(
    calculate: Calculate, name: str, argument: str, item: str, stated: str, points: float
) -> None:
    result = calculate(name, **{argument: stated})
    assert [found.points for found in result.components if found.item == item] == [points]


@pytest.mark.parametrize(
    ("name", "stated", "words"),
    [
        ("saag", {"serum_albumin": "36 g/L", "ascites_albumin": "25 g/L"}, "portal hypertension (1.1"),
        ("saag", {"serum_albumin": "36 g/L", "ascites_albumin": "2.6 g/dL"}, "no portal"),
        ("corrected_calcium", {"calcium": "8.4 mg/dL", "albumin": "40 g/L"}, "within"),
        ("corrected_calcium", {"calcium": "2.09 mmol/L", "albumin": "4 g/dL"}, "below"),
        ("pf_ratio", {"arterial_oxygen": "40 kPa", "fio2": "100 %"}, "mild"),
        ("pf_ratio", {"arterial_oxygen": "300 mmHg", "fio2": "1"}, "mild"),
        ("pf_ratio", {"arterial_oxygen": "13.3 kPa", "fio2": "1"}, "severe"),
    ],
)  # fmt: skip
def test_a_class_begins_at_the_same_value_in_every_unit(
    calculate: Calculate, name: str, stated: dict[str, str], words: str
) -> None:
    assert words in calculate(name, **stated).interpretation
