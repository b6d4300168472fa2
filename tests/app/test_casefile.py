"""A patient's record beside a case: the case takes the visits, and who the patient is where it does not say so."""

from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from polyclinic.app.casefile import make_case, read_case, with_visits
from polyclinic.core.case import Case, Image, pseudonym
from polyclinic.core.errors import InputError

RAW, MRN = "raw-patient-id", "MRN-447112"
BUNDLE: dict[str, Any] = {
    "resourceType": "Bundle",
    "entry": [
        {"resource": {
            "resourceType": "Patient", "id": RAW, "gender": "female", "birthDate": "1960-05-17",
            "identifier": [{"value": MRN}],
        }},
        {"resource": {
            "resourceType": "Observation", "status": "final", "code": {"text": "Potassium"},
            "subject": {"reference": f"Patient/{RAW}"}, "effectiveDateTime": "2024-01-31",
            "valueQuantity": {"value": 4.4, "unit": "mmol/L"},
        }},
        {"resource": {"resourceType": "Condition", "code": {"text": "Gout"}}},
        {"resource": {"resourceType": "Claim"}},
    ],
}  # fmt: skip


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "record.json.gz"
    path.write_bytes(gzip.compress(json.dumps(BUNDLE).encode()))
    return path


def made(record: Path, **fields: Any) -> Case:
    return make_case(with_visits({"question": "x?", **fields}, record))


def test_a_record_gives_the_visits_and_who_the_patient_is(record: Path) -> None:
    case = made(record, date=datetime.date(2024, 5, 16))
    assert case.patient_id == pseudonym(RAW)
    assert case.metadata == {"sex": "female", "age": 63, "not_read": "Condition: without a date (1)"}
    assert [(visit.date, visit.labs[0].name) for visit in case.visits] == [(datetime.date(2024, 1, 31), "Potassium")]
    assert RAW not in case.model_dump_json()


@pytest.mark.parametrize("date", ["2024-05-17", datetime.date(2024, 5, 17)])
def test_the_age_is_that_at_the_cases_date(record: Path, date: object) -> None:
    assert made(record, date=date).metadata["age"] == 64


def test_without_a_date_the_age_is_todays(record: Path) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    assert made(record).metadata["age"] in (today.year - 1960, today.year - 1961)


def test_what_the_case_states_is_kept(record: Path) -> None:
    case = made(record, metadata={"age": 70, "smoker": True}, visits=[{"date": "2020-01-01"}])
    assert case.metadata["age"] == 70
    assert case.metadata["smoker"] is True
    assert case.metadata["sex"] == "female"
    assert [visit.date.year for visit in case.visits] == [2024]


@pytest.mark.parametrize("stated", [RAW, MRN, pseudonym(RAW), pseudonym(MRN)])
def test_the_patient_may_be_stated_by_any_of_the_records_identifiers(record: Path, stated: str) -> None:
    image = {"path": "a.png", "patient_id": stated}
    assert made(record, patient_id=stated, images=[image]).patient_id == stated


def test_another_patients_record_is_refused_and_nobody_named(record: Path) -> None:
    with pytest.raises(InputError, match="one patient per case") as caught:
        made(record, patient_id="somebody-else")
    assert RAW not in str(caught.value)
    assert "somebody-else" not in str(caught.value)
    with pytest.raises(InputError, match="one patient per case"):
        made(record, images=[Image(path="a.png", patient_id="somebody-else")])


def test_a_case_file_may_name_the_record_beside_it(record: Path) -> None:
    (record.parent / "case.yaml").write_text("question: x?\ndate: 2024-05-16\nvisits: record.json.gz\n")
    case = make_case(read_case(record.parent / "case.yaml"))
    assert case.metadata["age"] == 63
    assert len(case.visits) == 1
    (record.parent / "visits.yaml").write_text(
        "- date: 2024-01-01\n  conditions: [Gout]\n  medications: [Allopurinol]\n"
    )
    (record.parent / "case.yaml").write_text("question: x?\nvisits: visits.yaml\n")
    (visit,) = make_case(read_case(record.parent / "case.yaml")).visits
    assert (visit.conditions, visit.medications) == (("Gout",), ("Allopurinol",))


def test_a_case_file_names_no_record_elsewhere(record: Path) -> None:
    inner = record.parent / "cases"
    inner.mkdir()
    (inner / "case.yaml").write_text("question: x?\nvisits: ../record.json.gz\n")
    with pytest.raises(InputError, match="leads outside"):
        read_case(inner / "case.yaml")
    assert len(make_case(read_case(inner / "case.yaml", root=record.parent)).visits) == 1


def test_json_visits_are_a_list_a_mapping_or_a_bundle(tmp_path: Path) -> None:
    path = tmp_path / "visits.json"
    for written in ([{"date": "2024-01-31"}], {"visits": [{"date": "2024-01-31"}]}, BUNDLE):
        path.write_text(json.dumps(written), encoding="utf-8")
        assert [str(visit.date) for visit in made(path).visits] == ["2024-01-31"]
    path.write_text('{"date": 2024}', encoding="utf-8")
    with pytest.raises(InputError, match="a list of visits, each with a date, or a FHIR Bundle"):
        made(path)
    path.write_text('{"resourceType": "Patient", "id": "x"}', encoding="utf-8")
    with pytest.raises(InputError, match="expected a FHIR R4 Bundle; got Patient"):
        made(path)
