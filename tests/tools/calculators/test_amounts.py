"""How a quantity is read: units converted, and bare numbers and the implausible refused with what to type."""

from __future__ import annotations

import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.calculators.amounts import SUBSTANCES, Amount
from polyclinic.tools.calculators.quantities import Bicarbonate, Creatinine, Fio2, Temperature, Urea, Weight

# Abridged standard atomic weights of IUPAC (Prohaska et al. 2022).
WEIGHTS = {"C": 12.011, "H": 1.008, "N": 14.007, "O": 15.999, "Na": 22.990, "Ca": 40.078, "Cl": 35.45}


def amount_of(annotated: object) -> Amount:
    found = get_args(annotated)[1]
    assert isinstance(found, Amount)
    return found


CREATININE, UREA, WEIGHT = amount_of(Creatinine), amount_of(Urea), amount_of(Weight)
AGE = Amount(what="age", unit="years", low=18, high=120, example=67)
COUNT = Amount(what="points", unit="points", low=0, high=4, whole=True, example=2)


@pytest.mark.parametrize("name", sorted(name for name, known in SUBSTANCES.items() if known.part))
def test_molar_masses_follow_from_the_formula(name: str) -> None:
    known = SUBSTANCES[name]
    mass = sum(WEIGHTS[symbol] * int(count or 1) for symbol, count in re.findall(r"([A-Z][a-z]?)(\d*)", known.part))
    assert known.g_per_mol == pytest.approx(mass, abs=0.002)


@pytest.mark.parametrize(
    ("amount", "stated", "value"),
    [
        (CREATININE, "1.2 mg/dL", 1.2), (CREATININE, "12 mg/L", 1.2), (CREATININE, "106.08 μmol/L", 1.2),
        (CREATININE, "0.10608mmol/l", 1.2), (UREA, "28.014 mg/dL", 10), (UREA, "10 mmol/L", 10),
        (amount_of(Bicarbonate), "24 mEq/L", 24), (WEIGHT, "154.3 lb", 69.989), (WEIGHT, "72,000 g", 72),
        (amount_of(Fio2), "40 %", 0.4), (amount_of(Fio2), 0.4, 0.4), (amount_of(Fio2), "0.4", 0.4),
        (amount_of(Temperature), "98.6 degF", 37),
        (AGE, 67, 67), (AGE, "67 years", 67), (COUNT, 3, 3), (COUNT, "3 points", 3),
    ],
)  # fmt: skip
def test_a_quantity_is_read_in_the_unit_of_the_formula(amount: Amount, stated: object, value: float) -> None:
    assert amount.read(stated) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize(
    ("amount", "stated", "why"),
    [
        (CREATININE, 1.2, "without a unit"), (CREATININE, "1.2", "without a unit"), (CREATININE, "1.2 mmHg", "convert"),
        (CREATININE, "0 mg/dL", "outside"), (CREATININE, "106 mg/dL", "outside"), (CREATININE, "-1 mg/dL", "outside"),
        (CREATININE, "1,2 mg/dL", "decimal point"), (CREATININE, "high", "not a number"),
        (CREATININE, "", "not a number"),
        (CREATININE, True, "no quantity"), (CREATININE, None, "no quantity"), (CREATININE, "nan mg/dL", "not a number"),
        (CREATININE, "1e400 mg/dL", "outside"), (CREATININE, "120/80 mmHg", "convert"), (AGE, 150, "outside"),
        (AGE, 12, "outside"), (AGE, "12 months", "convert"), (AGE, float("nan"), "outside"), (COUNT, 1.5, "whole"),
        (COUNT, 5, "outside"), (amount_of(Fio2), 40, "outside"), (CREATININE, "9" * 50 + " mg/dL", "not a number"),
        (CREATININE, 10**400, "without a unit"),
    ],
)  # fmt: skip
def test_a_refusal_says_the_range_and_what_to_type(amount: Amount, stated: object, why: str) -> None:
    with pytest.raises(ToolRefusedError, match=re.escape(why)) as refusal:
        amount.read(stated)
    assert amount.range in refusal.value.expected
    assert amount.typed in refusal.value.fix


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    for amount in (CREATININE, WEIGHT, AGE, COUNT):
        try:
            value = amount.read(text)
        except ToolRefusedError:
            continue
        assert amount.low <= value <= amount.high


@given(st.floats(min_value=0.1, max_value=30))
def test_what_is_written_is_read_again(value: float) -> None:
    assert CREATININE.read(CREATININE.write(value)) == value


@given(st.floats(min_value=0.11, max_value=29))
def test_units_of_one_substance_agree(value: float) -> None:
    assert CREATININE.read(f"{value * 10000 / 113.12!r} umol/L") == pytest.approx(value, rel=1e-6)
