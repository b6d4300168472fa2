"""Cases refuse what makes no sense, and never mix two patients."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from polyclinic.core.case import Case, Image, Lab, Visit, pseudonym
from polyclinic.core.errors import InputError

DAY = datetime.date(2024, 1, 31)


def test_a_case_without_an_id_gets_one_from_its_content() -> None:
    assert Case(question="Why?").id == Case(question="Why?").id
    assert Case(question="Why?").id != Case(question="How?").id


@pytest.mark.parametrize(
    "fields",
    [
        {"question": ""},
        {"question": "   "},
        {"question": "x", "options": {"A": "only one"}},
        {"question": "x", "options": {"a": "one", "b": "two"}},
        {"question": "x", "options": {"A": "", "B": "two"}},
        {"question": "x", "unknown": 1},
        {"question": "x", "id": "../up"},
        {"question": "x", "images": [{}]},
        {"question": "x", "images": [{"path": "a", "blob": "b"}]},
        {"question": "x", "images": [{"path": "a", "modality": "telepathy"}]},
    ],
)
def test_unusable_fields_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Case.model_validate(fields)


def test_two_patients_in_one_case_raise_without_repeating_their_ids() -> None:
    with pytest.raises(InputError, match="one patient per case") as caught:
        Case(question="x", patient_id="Smith-1", visits=(Visit(date=DAY, patient_id="Jones-2"),))
    assert "Smith" not in str(caught.value)
    with pytest.raises(InputError):
        Case(question="x", images=(Image(path="a", patient_id="one"), Image(path="b", patient_id="two")))
    image = Image(path="a", patient_id="one")
    with pytest.raises(InputError):
        Case(question="x", patient_id="two", visits=(Visit(date=DAY, images=(image,)),))


def test_visits_are_ordered_whatever_order_they_came_in() -> None:
    visits = [Visit(date=DAY + datetime.timedelta(days=days), reports=(f"day {days}",)) for days in (30, 0, 10)]
    one, other = Case(question="x", visits=tuple(visits)), Case(question="x", visits=tuple(reversed(visits)))
    assert one == other
    assert [visit.reports[0] for visit in one.visits] == ["day 0", "day 10", "day 30"]


@given(st.text(min_size=1), st.text(min_size=1))
def test_pseudonyms_are_stable_and_show_nothing(one: str, other: str) -> None:
    assert (pseudonym(one) == pseudonym(other)) == (one == other)
    assert len(pseudonym(one)) == len("p-") + 12


def test_a_pseudonym_stands_for_the_patient_it_was_made_of() -> None:
    assert pseudonym(pseudonym("Smith-1")) == pseudonym("Smith-1")
    visit = Visit(date=DAY, patient_id=pseudonym("Smith-1"))
    assert Case(question="x", patient_id="Smith-1", visits=(visit,)).patient_id == "Smith-1"
    with pytest.raises(InputError, match="2 different patient ids"):
        Case(question="x", patient_id="Jones-2", visits=(visit,))


def test_labs_carry_their_interval() -> None:
    lab = Lab(name="potassium", value=4.1, unit="mmol/L", low=3.5, high=5.0)
    assert Visit(date=DAY, labs=(lab,)).labs[0].high == 5.0
