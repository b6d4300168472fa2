"""When what a record says was known: no visit tells what came later."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from bundles import (
    SUBJECT,
    amount,
    assert_nothing_later,
    bundle,
    coded,
    encounter,
    named,
    observation,
    only_visit,
    patient,
)
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.knowledge.patient.fhir import record_of, visit_text
from polyclinic.knowledge.patient.fhir_resources import READERS


def test_a_long_stay_has_its_values_at_their_own_days() -> None:
    stay = encounter("stay", "2024-01-30")
    values = [observation("CRP", f"2024-01-3{n}", "stay", **amount(n, "mg/L")) for n in (0, 1)]
    record = record_of(bundle(patient(), stay, *values))
    assert [(str(visit.date), visit.labs[0].value) for visit in record.visits] == [("2024-01-30", 0), ("2024-01-31", 1)]


def test_an_order_keeps_the_encounters_date() -> None:
    order = {
        "resourceType": "MedicationRequest", "medicationCodeableConcept": named("Aspirin"), "subject": SUBJECT,
        "authoredOn": "2020-01-01", "encounter": {"reference": "Encounter/e1"}, "status": "stopped",
    }  # fmt: skip
    visit = only_visit(encounter("e1", "2024-01-31"), order)
    assert (visit.date.year, visit.medications) == (2024, ("Aspirin (stopped)",))


def condition(**fields: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "id": "c1", "code": named("Stroke"), "subject": SUBJECT,
            "encounter": {"reference": "Encounter/e1"}, **fields}  # fmt: skip


@pytest.mark.parametrize(
    ("dates", "stands", "said"),
    [
        ({"onsetDateTime": "1988-07-28"}, "1988-07-28", "Stroke, since 1988-07-28"),
        ({"recordedDate": "1988-07-28T09:00:00Z"}, "1988-07-28", "Stroke"),
        ({"onsetDateTime": "1987-05-01", "recordedDate": "1988-07-28"}, "1988-07-28", "Stroke, since 1987-05-01"),
        ({"onsetDateTime": "1988-07-28", "recordedDate": "1987-05-01"}, "1988-07-28", "Stroke, since 1988-07-28"),
        ({"onsetDateTime": "1980-01-01", "recordedDate": "1981-01-01"}, "1987-04-02", "Stroke, since 1980-01-01"),
        ({"onsetPeriod": {"start": "1988-07-28"}}, "1988-07-28", "Stroke"),
        ({"onsetDateTime": "1988-07"}, "1988-07-31", "Stroke, since 1988-07"),
        ({"onsetDateTime": "1987"}, "1987-04-02", "Stroke, since 1987"),
        ({"onsetDateTime": "1988-02-30"}, "1987-04-02", "Stroke"),
        ({}, "1987-04-02", "Stroke"),
    ],
)
def test_a_condition_is_not_known_before_its_own_dates(dates: dict[str, Any], stands: str, said: str) -> None:
    record = record_of(bundle(patient(), encounter("e1", "1987-04-02"), condition(**dates)))
    assert [(str(visit.date), visit.conditions) for visit in record.visits if visit.conditions] == [(stands, (said,))]
    assert record.visits[0].date == datetime.date(1987, 4, 2)


@pytest.mark.parametrize(
    ("dates", "lines"),
    [
        ({"abatementDateTime": "1988-07-28"},
         [("1987-04-02", "Stroke"), ("1988-07-28", "Stroke, resolved 1988-07-28")]),
        ({"onsetDateTime": "1980-01-01", "abatementDateTime": "1988"},
         [("1987-04-02", "Stroke, since 1980-01-01"), ("1988-12-31", "Stroke, since 1980-01-01, resolved 1988")]),
        ({"abatementDateTime": "1985-01-01"}, [("1987-04-02", "Stroke, resolved 1985-01-01")]),
        ({"abatementDateTime": "1988-07-28", "recordedDate": "1990-01-01"},
         [("1990-01-01", "Stroke, resolved 1988-07-28")]),
        ({"abatementDateTime": "soon"}, [("1987-04-02", "Stroke, resolved")]),
    ],
)  # fmt: skip
def test_a_condition_is_over_from_the_day_it_was_over(dates: dict[str, Any], lines: list[tuple[str, str]]) -> None:
    over = condition(clinicalStatus=coded("resolved"), **dates)
    record = record_of(bundle(patient(), encounter("e1", "1987-04-02"), over))
    assert [(str(visit.date), line) for visit in record.visits for line in visit.conditions] == lines
    assert record.read["Condition"] == 1


@pytest.mark.parametrize(
    ("resource", "stands"),
    [
        ({"resourceType": "MedicationRequest", "medicationCodeableConcept": named("X"), "authoredOn": "1988-07-28"},
         "1988-07-28"),
        ({"resourceType": "MedicationStatement", "medicationCodeableConcept": named("X"), "dateAsserted": "1988-07-28",
          "effectivePeriod": {"start": "1986-01-01", "end": "1999-01-01"}}, "1988-07-28"),
        ({"resourceType": "AllergyIntolerance", "code": named("X"), "recordedDate": "1988-07-28"}, "1988-07-28"),
        ({"resourceType": "DiagnosticReport", "code": named("X"), "effectiveDateTime": "1987-04-02",
          "issued": "1988-07-28T00:00:00Z"}, "1988-07-28"),
        ({"resourceType": "DiagnosticReport", "code": named("X"), "effectivePeriod": {"start": "1987-04-02",
          "end": "1988-07-28"}}, "1988-07-28"),
        ({"resourceType": "Procedure", "code": named("X"), "performedPeriod": {"start": "1987-04-02",
          "end": "1988-07-28"}}, "1988-07-28"),
        ({"resourceType": "Procedure", "code": named("X"), "performedDateTime": "1988"}, "1988-12-31"),
        ({"resourceType": "Procedure", "code": named("X"), "performedDateTime": "1970-01-01"}, "1970-01-01"),
        ({"resourceType": "Observation", "code": named("X"), **amount(4), "effectiveDateTime": "1987-04-02",
          "issued": "1988-07-28T00:00:00Z"}, "1987-04-02"),
    ],
)  # fmt: skip
def test_what_else_is_later_than_its_encounter_stands_later(resource: dict[str, Any], stands: str) -> None:
    within = {"subject": SUBJECT, "encounter": {"reference": "Encounter/e1"}}
    record = record_of(bundle(patient(), encounter("e1", "1987-04-02", type=[named("Seen")]), resource | within))
    (visit,) = (one for one in record.visits if " X" in visit_text(one) or visit_text(one).endswith("X"))
    assert str(visit.date) == stands


DATES = st.builds(
    lambda date, length: date.isoformat()[:length],
    st.dates(datetime.date(1985, 1, 1), datetime.date(1990, 12, 31)),
    st.sampled_from([4, 7, 10, 10, 10]),
)
PERIODS = st.fixed_dictionaries({}, optional={"start": DATES, "end": DATES})
WRITTEN = st.fixed_dictionaries(
    {"resourceType": st.sampled_from(sorted(READERS)), "status": st.sampled_from(["active", "completed", "stopped"])},
    optional={
        "clinicalStatus": st.sampled_from([coded("active"), coded("resolved"), coded("remission")]),
        "encounter": st.sampled_from([{"reference": "Encounter/e1"}, {"reference": "Encounter/e2"}]),
        **dict.fromkeys(
            ("onsetDateTime", "recordedDate", "abatementDateTime", "authoredOn", "dateAsserted", "effectiveDateTime",
             "issued", "performedDateTime", "occurrenceDateTime", "started", "date"), DATES,
        ),
        **dict.fromkeys(("onsetPeriod", "effectivePeriod", "performedPeriod"), PERIODS),
    },
)  # fmt: skip


@given(st.lists(WRITTEN, max_size=6))
def test_no_visit_says_a_later_date(written: list[dict[str, Any]]) -> None:
    named_ = [
        {"code": named(f"Thing {key}"), "medicationCodeableConcept": named("Medicine"), "vaccineCode": named("Vaccine"),
         "id": f"r{key}", "subject": SUBJECT, **resource}
        for key, resource in zip("abcdef", written, strict=False)
    ]  # fmt: skip
    record = record_of(bundle(patient(), encounter("e1", "1986-06-30"), encounter("e2", "1988-02-29"), *named_))
    assert_nothing_later(record.visits)
    conditions = [resource for resource in named_ if resource["resourceType"] == "Condition"]
    for resource in conditions:
        own = [resource.get(key) for key in ("onsetDateTime", "recordedDate") if len(resource.get(key, "")) == 10]
        told = [visit for visit in record.visits if any(resource["code"]["text"] in line for line in visit.conditions)]
        assert all(str(visit.date) >= str(date) for visit in told for date in own)
