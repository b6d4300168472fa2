"""Small FHIR bundles that the tests are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from polyclinic.core.case import Case, Visit
from polyclinic.knowledge.patient.fhir import record_of, visit_text
from polyclinic.knowledge.patient.history import visit_evidence

SAID = re.compile(r"\b\d{4}-\d{2}(?:-\d{2})?\b|(?<=since )\d{4}\b|(?<=until )\d{4}\b|(?<=resolved )\d{4}\b")
RAW = "9f1c-raw-patient-id"
MRN = "MRN-447112"
SUBJECT = {"reference": f"Patient/{RAW}"}
READ = {
    "AllergyIntolerance", "Condition", "DiagnosticReport", "Encounter", "Immunization", "MedicationRequest",
    "Observation", "Patient", "Procedure",
}  # fmt: skip


def named(text: str) -> dict[str, Any]:
    return {"text": text}


def coded(code: str) -> dict[str, Any]:
    return {"coding": [{"code": code}]}


def patient(**fields: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient", "id": RAW, "gender": "female", "birthDate": "1960-05-17",
        "identifier": [{"value": MRN}], "name": [{"family": "Quillfeather", "given": ["Amaranth", "J."]}], **fields,
    }  # fmt: skip


def encounter(key: str, day: str | None, **fields: Any) -> dict[str, Any]:
    period = {} if day is None else {"period": {"start": f"{day}T09:00:00+02:00"}}
    return {"resourceType": "Encounter", "id": key, "status": "finished", "subject": SUBJECT, **period, **fields}


def observation(name: str, day: str | None = "2024-01-31", within: str = "", **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "resourceType": "Observation", "status": "final", "code": named(name), "subject": SUBJECT, **fields,
    }  # fmt: skip
    if day:
        made["effectiveDateTime"] = f"{day}T10:00:00Z"
    if within:
        made["encounter"] = {"reference": f"Encounter/{within}"}
    return made


POTASSIUM_RANGE = [{"low": {"value": 3.5}, "high": {"value": 5.1}}]


def amount(value: Any, unit: str = "mmol/L", **fields: Any) -> dict[str, Any]:
    return {"valueQuantity": {"value": value, "unit": unit, **fields}}


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": item} for item in resources]}


def only_visit(*resources: dict[str, Any]) -> Visit:
    (visit,) = record_of(bundle(patient(), *resources)).visits
    return visit


def reasons(*resources: dict[str, Any]) -> dict[str, int]:
    return record_of(bundle(patient(), *resources)).skipped


FULL = bundle(
    patient(),
    encounter("e1", "2023-03-01", type=[named("Check up")], reasonCode=[named("Fatigue")]),
    encounter("e2", "2024-01-31"),
    observation("Potassium", "2023-03-01", "e1", **amount(5.4), referenceRange=POTASSIUM_RANGE),
    observation("Potassium", "2024-01-31", "e2", **amount(4.4)),
    observation("Blood pressure", "2024-01-31", "e2", component=[
        {"code": named("Systolic pressure"), **amount(141, "mm[Hg]")},
        {"code": named("Diastolic pressure"), **amount(88, "mm[Hg]")},
    ]),
    observation("Smoking", "2024-01-31", "e2", valueCodeableConcept=named("Former smoker")),
    {"resourceType": "Condition", "code": named("Hypertension"), "subject": SUBJECT, "onsetDateTime": "2011-04-02",
     "clinicalStatus": coded("active"), "encounter": {"reference": "Encounter/e1"}},
    {"resourceType": "MedicationRequest", "status": "active", "medicationReference": {"reference": "Medication/m1"},
     "subject": SUBJECT, "encounter": {"reference": "Encounter/e2"}, "dosageInstruction": [{"text": "once a day"}]},
    {"resourceType": "Medication", "id": "m1", "code": named("Ramipril 5 mg")},
    {"resourceType": "DiagnosticReport", "status": "final", "code": named("Chest film"), "subject": SUBJECT,
     "effectiveDateTime": "2024-01-31", "encounter": {"reference": "Encounter/e2"}, "conclusion": "Clear lungs."},
    {"resourceType": "Immunization", "status": "completed", "vaccineCode": named("Influenza"),
     "patient": SUBJECT, "occurrenceDateTime": "2023-10-11"},
)  # fmt: skip


def assert_nothing_later(visits: Iterable[Visit]) -> None:
    """No date in the words of a visit, or in what the agents read of it, is later than the visit."""
    for visit in visits:
        unread = visit.model_copy(update={"reports": ()})  # free text of reports may look ahead
        told = [visit_text(unread), *(item.content for item in visit_evidence(Case(question="?", visits=(unread,))))]
        ahead = [said for text in told for said in SAID.findall(text) if said > visit.date.isoformat()]
        assert not ahead, (visit.date, told)
