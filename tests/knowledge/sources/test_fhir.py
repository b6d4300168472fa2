"""FHIR records become a document per visit, under a pseudonym, and no file name gets in."""

from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from polyclinic.core.case import pseudonym
from polyclinic.core.errors import InputError
from polyclinic.knowledge.patient.fhir import read_record, visit_text
from polyclinic.knowledge.sources.fhir import Fhir


def bundle(patient: str, *days: str) -> dict[str, Any]:
    visits = [
        {"resourceType": "Encounter", "id": f"e{number}", "status": "finished", "class": {"code": "AMB"},
         "type": [{"text": f"Check-up {number}"}], "subject": {"reference": f"Patient/{patient}"},
         "period": {"start": f"{day}T09:00:00Z"}}
        for number, day in enumerate(days)
    ]  # fmt: skip
    who = {"resourceType": "Patient", "id": patient, "name": [{"family": "Doe", "given": ["Jane"]}]}
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in (who, *visits)]}


def test_a_visit_is_a_document_of_its_patient(tmp_path: Path) -> None:
    (tmp_path / "Jane_Doe.json").write_text(
        json.dumps(bundle("patient-4711", "2020-01-02", "2024-03-31", "2024-03-31"))
    )
    (tmp_path / "Rex_Roe.json.gz").write_bytes(gzip.compress(json.dumps(bundle("patient-0815", "2024-03-31")).encode()))
    (tmp_path / "Zoe.json").write_text(json.dumps(bundle("patient-1")))
    source = Fhir(path=tmp_path, name="records", licence="private record")
    documents = list(source.documents())
    one = read_record(tmp_path / "Jane_Doe.json")
    other = read_record(tmp_path / "Rex_Roe.json.gz")
    assert [document.id.rpartition("-")[0] for document in documents] == [
        f"{one.patient_id}/2020-01-02", f"{one.patient_id}/2024-03-31", f"{one.patient_id}/2024-03-31",
        f"{other.patient_id}/2024-03-31",
    ]  # fmt: skip
    (tmp_path / "A_second.json").write_text(json.dumps(bundle("patient-4711", "2024-03-30", "2024-03-31")))
    assert {document.id for document in source.documents()} >= {document.id for document in documents}
    (tmp_path / "A_second.json").unlink()
    documents = list(source.documents())
    first = documents[0]
    assert (first.title, first.date) == ("Visit of 2020-01-02", datetime.date(2020, 1, 2))
    assert (first.patient_id, first.licence) == (one.patient_id, "private record")
    assert first.text == visit_text(one.visits[0])
    assert "Check-up 0" in first.text
    assert first.citation == "Patient record, visit of 2020-01-02"
    assert source.skipped["a record without visits"] == 1
    assert all(word not in repr(documents) for word in ("Doe", "Roe", "4711", "0815"))


def test_a_document_names_the_patients_other_identifiers_by_their_pseudonyms(tmp_path: Path) -> None:
    record = bundle("patient-4711", "2020-01-02", "2024-03-31")
    record["entry"][0]["resource"]["identifier"] = [{"value": "MRN-0815"}, {"value": "patient-4711"}]
    (tmp_path / "a.json").write_text(json.dumps(record))
    documents = list(Fhir(path=tmp_path, name="records", licence="private record").documents())
    assert [document.other_ids for document in documents] == [(pseudonym("MRN-0815"),)] * 2
    assert "0815" not in repr(documents).replace(pseudonym("MRN-0815"), "")


def test_a_document_tells_nothing_later_than_its_date(tmp_path: Path) -> None:
    record = bundle("patient-4711", "1987-04-02")
    stroke = {
        "resourceType": "Condition", "code": {"text": "Stroke"}, "subject": {"reference": "Patient/patient-4711"},
        "encounter": {"reference": "Encounter/e0"}, "onsetDateTime": "1988-07-28", "abatementDateTime": "1988-09-01",
    }  # fmt: skip
    record["entry"].append({"resource": stroke})
    (tmp_path / "a.json").write_text(json.dumps(record))
    documents = list(Fhir(path=tmp_path, name="records", licence="private record").documents())
    assert [(str(document.date), document.text) for document in documents] == [
        ("1987-04-02", "Check-up 0"),
        ("1988-07-28", "Conditions: Stroke, since 1988-07-28"),
        ("1988-09-01", "Conditions: Stroke, since 1988-07-28, until 1988-09-01"),
    ]


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"resourceType": "Bundle", "entry": [')
    with pytest.raises(InputError, match=r"a\.json"):
        list(Fhir(path=tmp_path, name="records", licence="x").documents())


def test_the_real_records_are_read_whole(data_dir: Path) -> None:
    folder = data_dir / "fhir_synthea_r4"
    files = sorted(folder.glob("*.json.gz"))
    if not files:
        pytest.skip(f"no FHIR records: {folder} holds none")
    documents = list(Fhir(path=folder, name="records", licence="x").documents())
    visits = sum(bool(visit_text(visit).strip()) for file in files for visit in read_record(file).visits)
    assert len({document.id for document in documents}) == len(documents) == visits
    assert len({document.patient_id for document in documents}) == len(files)
    names = {part for file in files for part in file.name.split("_")[:2]}
    said = [document.id + document.title + document.citation for document in documents]
    assert not [name for name in names if any(name in text for text in said)]
