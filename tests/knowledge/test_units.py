"""Units: one spelling for many, conversions to the digit, what never converts, and pint left alone until needed."""

from __future__ import annotations

import gzip
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.knowledge.units import convert, known, rounded, same_unit, shown


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("×10⁹/L", "10^9/l"), ("10^3/µL", "10^9/l"), ("ratio", ""), (" mmol / L ", "mmol/l"), ("cells/mm³", "/ul"),
        ("cells/mm^3", "/ul"), ("kg/m²", "kg/m2"), ("mcg/L", "ug/l"), ("m[IU]/L", "miu/l"), ("points", ""),
        ("mL/min/1.73 m²", "ml/min/1.73m2"), ("mL/min/{1.73_m2}", "ml/min/1.73m2"), ("beats/min", "/min"),
        ("10*12/L", "10^12/l"), ("10*6/uL", "10^12/l"), ("M/uL", "10^12/l"), ("10¹²/L", "10^12/l"),
        ("10*9/L", "10^9/l"), ("10*3/uL", "10^9/l"), ("10(9)/L", "10^9/l"), ("10E3/uL", "10^9/l"),
        ("10*3 cells/uL", "10^9/l"),
        ("mm/hr", "mm/h"), ("mm/hour", "mm/h"), ("sec", "s"), ("/HPF", "/[hpf]"), ("{#}/[HPF]", "/[hpf]"),
        ("RBC/hpf", "/[hpf]"), ("{score}", ""), ("{INR}", ""), ("[pH]", ""), ("mm[Hg]", "mmhg"), ("mm Hg", "mmhg"),
        ("[degF]", "°f"), ("Cel", "°c"), ("deg", "°"), ("meq/L", "meq/l"), ("[iU]/L", "iu/l"), ("m[iU]/mL", "miu/ml"),
        ("/min", "/min"), ("{beats}/min", "/min"), ("beats per minute", "/min"), ("{breaths}/min", "/min"),
        ("mg/g{creat}", "mg/g"), ("gm/dL", "g/dl"), ("mg%", "mg/dl"), ("mg/(24.h)", "mg/d"), ("mg/24h", "mg/d"),
        ("[lb_av]", "lb"), ("[in_i]", "in"), ("[HU]", "hu"), ("cells/cmm", "/ul"), ("K/mm3", "10^9/l"),
    ],
)  # fmt: skip
def test_one_unit_in_many_spellings(written: str, meant: str) -> None:
    assert same_unit(written) == meant


@pytest.mark.parametrize(
    ("value", "unit", "to", "expected"),
    [
        (13.0, "g/dL", "g/L", 130.0),
        (0.9, "cm", "mm", 9.0),
        (100.4, "°F", "°C", 38.0),
        (35.0, "°C", "°F", 95.0),
        (8.0, "kPa", "mmHg", 60.0049260677),
        (0.5, "10^9/L", "/uL", 500.0),
        (90, "K/uL", "/uL", 90_000.0),
        (1250, "cells/mm3", "10^9/L", 1.25),
        (57, "%", "ratio", 0.57),
        (0.35, "1", "%", 35.0),
        (1.25, "m/s", "cm/s", 125.0),
        (125, "pg/mL", "ng/L", 125.0),
        (4, "ng/mL", "µg/L", 4.0),
        (30, "mL", "cm3", 30.0),
        (0.44, "s", "ms", 440.0),
        (300, "mg/g", "mg/mg", 0.3),
        (10, "mIU/L", "µIU/mL", 10.0),
        (25, "kg/m²", "kg/m2", 25.0),
        (4.5, "10*6/uL", "10*12/L", 4.5),
        (4.5, "10*12/L", "10^9/L", 4500.0),
        (4500, "10*6/L", "/uL", 4500.0),
        (7.4, "10*3/uL", "{cells}/uL", 7400.0),
        (98.6, "[degF]", "Cel", 37.0),
        (13, "{score}", "1", 13),
        (150, "[lb_av]", "kg", 68.0388555),
        (70, "[in_i]", "m", 1.778),
        (20, "mm/hr", "mm/h", 20),
        (72, "{beats}/min", "/min", 72),
        (12, "sec", "ms", 12_000.0),
        (1500, "mg/(24.h)", "g/d", 1.5),
    ],
)
def test_units_of_one_dimension_convert(value: float, unit: str, to: str, expected: float) -> None:
    assert convert(value, unit, to) == expected


@pytest.mark.parametrize(
    ("unit", "to"),
    [
        ("mg/dL", "mmol/L"), ("mEq/L", "mmol/L"), ("%", "mmol/mol"), ("mmol/mol", "1"), ("mg/g", "mg/mmol"),
        ("mL/min", "mL/min/1.73m2"), ("IU/L", "U/L"), ("HU", "1"), ("mm", "mm2"), ("g/L", "furlong"), ("", "%"),
        ("{score}", "%"), ("%", "points"), ("{titer}", "1"), ("{count}", "%"), ("ug/mL{FEU}", "ug/mL"), ("/HPF", "/uL"),
        ("/[HPF]", "/[LPF]"), ("{copies}/mL", "/mL"), ("[iU]/L", "U/L"), ("U/L", "/L"), ("mosm/kg", "mmol/kg"),
        ("100/L", "/L"), ("10/L", "/L"), ("/100{WBCs}", "/min"), ("mg/(24.h)", "mg"), ("mm/hr", "mm"),
        (" ", "g/L"), ("10^9", "10^9/L"), ("°C/L", "°F/L"), ("9**9**9", "1"), ("", "1"),
    ],
)  # fmt: skip
def test_what_no_factor_leads_to_never_converts(unit: str, to: str) -> None:
    assert convert(1.0, unit, to) is None


@pytest.mark.parametrize(
    "unit",
    ["g/L", "1", "%", "10^9/L", "/uL", "mL/min/1.73m2", "mmol/mol", "°", "°F", "HU", "mIU/L", "10*6/uL", "{score}"],
)
def test_units_of_medicine_are_known(unit: str) -> None:
    assert known(unit)


@pytest.mark.parametrize(
    "unit", ["", " ", "furlong", "/", "//", "g//l", "g/10^9", "m/s/", "°C/L", "eval(1)", "x", "hl"]
)
def test_other_words_are_not(unit: str) -> None:
    assert not known(unit)


UNITS = st.sampled_from(["g/L", "mg/dL", "10^9/L", "/uL", "°C", "°F", "kPa", "mmHg", "mm", "cm", "%", "1"])


@given(st.floats(-1e6, 1e6), UNITS, UNITS)
def test_there_and_back_is_the_same_value(value: float, unit: str, to: str) -> None:
    there = convert(value, unit, to)
    if there is not None:
        back = convert(there, to, unit)
        assert back is not None
        assert math.isclose(back, value, rel_tol=1e-9, abs_tol=1e-6)


@given(st.text(max_size=12), st.text(alphabet="mgulkpah/^10%²°. *-", max_size=8))
def test_any_text_as_a_unit_is_read_without_an_error(unit: str, to: str) -> None:
    assert same_unit(same_unit(unit)) == same_unit(unit)
    convert(1.0, unit, to)
    convert(1.0, to, "mg/L")
    assert known(unit) in (True, False)


def test_pint_stays_out_until_a_unit_must_be_converted() -> None:
    code = """
import sys
from polyclinic.core.evidence import Evidence, Source
from polyclinic.knowledge.criteria import evaluate, shipped_criteria
def verdicts(value, unit):
    item = Evidence(id="x", kind="measurement", content="", name="hb", value=value, unit=unit,
                    source=Source(kind="tool", name="t"))
    return evaluate(shipped_criteria(), [item], {"sex": "male", "age": 40})
assert verdicts(100, "g/L") and "pint" not in sys.modules
assert verdicts(10, "mmol/L") and "pint" not in sys.modules
assert verdicts(10, "g/dL") and "pint" in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_every_unit_of_the_synthetic_records_is_known(data_dir: Path) -> None:
    folder = data_dir / "fhir_synthea_r4"
    if not folder.is_dir():
        pytest.skip("shared data fhir_synthea_r4 is not here")
    written = {
        unit
        for path in sorted(folder.glob("*.json.gz"))
        for unit in re.findall(
            rb'"valueQuantity": ?\{[^}]*?"code": ?"((?:[^"\\]|\\.)*)"', gzip.decompress(path.read_bytes())
        )
    }
    assert len(written) > 10
    assert [unit for unit in sorted(written) if not known(unit.decode())] == []


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (125.893, "mm[Hg]", "126 mmHg"), (3.93906, "10*6/uL", "3.94 10^6/uL"), (90.1277, "kg", "90.1 kg"),
        (37.0, "Cel", "37 °C"), (6.14, "%", "6.14%"), (1.28662, "{score}", "1.29"), (0.0034567, "g/L", "0.00346 g/L"),
        (12_345.6, "/uL", "12346 /uL"), (-2.345, "1", "-2.35"), (88.04, "mL/min/{1.73_m2}", "88 mL/min/1.73 m2"),
        (5, "", "5"),
    ],
)  # fmt: skip
def test_values_are_shown_as_a_clinician_writes_them(value: float, unit: str, written: str) -> None:
    assert shown(value, unit) == written


@given(st.floats(-1e9, 1e9), UNITS)
def test_a_shown_value_is_near_the_value_and_in_its_unit(value: float, unit: str) -> None:
    assert abs(rounded(value) - value) <= 0.005 * abs(value) + 1e-300
    number, _, written = shown(value, unit).partition(" ")
    if unit not in ("%", "1"):
        assert same_unit(written) == same_unit(unit)
        assert float(number) == rounded(value)
