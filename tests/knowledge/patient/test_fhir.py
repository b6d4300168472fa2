"""A FHIR R4 Bundle becomes one patient's dated visits: nothing is guessed, nothing raw survives, nothing crashes."""

from __future__ import annotations

import base64
import copy
import datetime
import gzip
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bundles import (
    FULL,
    MRN,
    RAW,
    READ,
    amount,
    assert_nothing_later,
    bundle,
    coded,
    encounter,
    named,
    observation,
    only_visit,
    patient,
    reasons,
)
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.case import Lab, Visit, pseudonym
from polyclinic.core.errors import InputError
from polyclinic.knowledge.patient import fhir
from polyclinic.knowledge.patient.fhir import PatientRecord, read_record, record_of, visit_text


def test_a_bundle_is_one_patients_dated_visits() -> None:
    record = record_of(FULL)
    assert (record.sex, record.age_on(datetime.date(2024, 5, 16)), record.age_on(datetime.date(2024, 5, 17))) == (
        "female", 63, 64,
    )  # fmt: skip
    first, second, third = record.visits
    assert first.date == datetime.date(2023, 3, 1)
    assert first.reports == ("Check up: Fatigue",)
    assert first.conditions == ("Hypertension, since 2011-04-02",)
    assert first.labs == (Lab(name="Potassium", value=5.4, unit="mmol/L", low=3.5, high=5.1),)
    assert (second.date, second.reports) == (datetime.date(2023, 10, 11), ("Immunization: Influenza",))
    assert third.medications == ("Ramipril 5 mg, once a day",)
    assert set(third.reports) == {"Chest film: Clear lungs.", "Smoking: Former smoker"}
    assert {lab.name: (lab.value, lab.unit) for lab in third.labs} == {
        "Systolic pressure": (141, "mm[Hg]"), "Diastolic pressure": (88, "mm[Hg]"), "Potassium": (4.4, "mmol/L"),
    }  # fmt: skip
    assert record.skipped == {}
    assert sum(record.read.values()) == len(FULL["entry"])


def test_who_the_patient_is_does_not_survive() -> None:
    told = f"Seen today: Amaranth Quillfeather ({MRN}, {RAW}). QUILLFEATHER, AMARANTH J. was well."
    note = {"resourceType": "DiagnosticReport", "code": named("Letter"), "conclusion": told, "issued": "2024-02-01"}
    record = record_of(bundle(patient(), note, observation(f"Potassium of {MRN}", **amount(4.0))))
    written = record.model_dump_json()
    for secret in (RAW, MRN, "Quillfeather", "QUILLFEATHER", "Amaranth"):
        assert secret not in written
    assert record.visits[1].reports == ("Letter: Seen today: [patient] ([patient], [patient]). [patient] was well.",)
    assert record.patient_id == pseudonym(RAW)
    assert record.other_ids == (pseudonym(MRN),)
    assert {visit.patient_id for visit in record.visits} == {record.patient_id}


@pytest.mark.parametrize(
    "other",
    [
        patient(id="second-raw-id"),
        observation("Potassium", **{**amount(4), "subject": {"reference": "Patient/second-raw-id"}}),
        observation(
            "Potassium", **{**amount(4), "subject": {"reference": "https://x.test/fhir/Patient/second-raw-id"}}
        ),
        {"resourceType": "Claim", "patient": {"reference": "urn:uuid:second-raw-id"}},
    ],
)
def test_two_patients_are_refused_and_not_named(other: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="one patient per case") as caught:
        record_of(bundle(patient(), other))
    assert RAW not in str(caught.value)
    assert "second-raw-id" not in str(caught.value)


def test_what_is_about_something_else_than_the_patient_is_not_read() -> None:
    device = observation("Battery", **{**amount(80, "%"), "subject": {"reference": "Device/d1"}})
    fetus = observation("Heart rate", **amount(140, "/min"), focus=[{"reference": "#fetus"}])
    assert reasons(device, fetus) == {"Observation: about something else than the patient": 2}


def test_a_bundle_without_a_patient_resource_is_of_the_one_it_speaks_of() -> None:
    record = record_of(bundle(observation("Potassium", **amount(4.1))))
    assert (record.patient_id, record.sex, record.born) == (pseudonym(RAW), None, None)
    with pytest.raises(InputError, match="a Patient"):
        record_of(bundle({"resourceType": "Organization"}))


def test_a_reference_that_is_a_search_names_nobody() -> None:
    found = observation("Potassium", **amount(4.1)) | {"subject": {"reference": "Patient?identifier=x|7"}}
    assert [lab.value for lab in only_visit(found).labs] == [4.1]


def test_references_by_full_url_are_followed() -> None:
    held = encounter("e9", "2024-02-02") | {"subject": {"reference": "urn:uuid:aaaa-1"}}
    entries = [
        {"fullUrl": "urn:uuid:aaaa-1", "resource": patient() | {"id": "other-way"}},
        {"fullUrl": "urn:uuid:bbbb-1", "resource": held},
        {"resource": observation("Sodium", "2024-02-02", **amount(140), encounter={"reference": "urn:uuid:bbbb-1"},
                                 subject={"reference": "Patient/other-way/_history/3"})},
    ]  # fmt: skip
    (visit,) = record_of({"resourceType": "Bundle", "entry": entries}).visits
    assert [lab.name for lab in visit.labs] == ["Sodium"]


@pytest.mark.parametrize(
    ("value", "report"),
    [
        (amount(5, "mg/L", comparator="<"), "CRP: < 5 mg/L"),
        ({"valueString": "not\n detected"}, "CRP: not detected"),
        ({"valueBoolean": False}, "CRP: no"),
        ({"valueRange": {"low": {"value": 1, "unit": "g"}, "high": {"value": 2, "unit": "g"}}}, "CRP: 1 g to 2 g"),
        ({"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 128}}}, "CRP: 1 : 128"),
        ({"valueDateTime": "2024-01-01"}, "CRP: 2024-01-01"),
    ],
)
def test_what_is_no_plain_number_is_a_line(value: dict[str, Any], report: str) -> None:
    visit = only_visit(observation("CRP", **value))
    assert (visit.labs, visit.reports) == ((), (report,))


def test_an_integer_is_a_value_and_a_body_site_is_part_of_the_name() -> None:
    (lab,) = only_visit(observation("Pain score", valueInteger=3)).labs
    assert (lab.name, lab.value, lab.unit) == ("Pain score", 3, "")
    (lab,) = only_visit(observation("Intraocular pressure", **amount(17, "mm[Hg]"), bodySite=named("Left eye"))).labs
    assert lab.name == "Intraocular pressure, Left eye"


@pytest.mark.parametrize(
    ("ranges", "limits"),
    [
        ([{"low": {"value": 3.5, "unit": "mmol/L"}, "high": {"value": 5.1, "unit": "mmol/L"}}], (3.5, 5.1)),
        ([{"high": {"value": 5.1}}], (None, 5.1)),
        ([{"type": coded("normal"), "low": {"value": 3}}, {"type": coded("critical"), "low": {"value": 2}}], (3, None)),
        ([{"low": {"value": 3.5}}, {"low": {"value": 3.0}}], (None, None)),  # two populations: which one is meant?
        ([{"low": {"value": 3.5, "unit": "mg/dL"}}], (None, None)),
        ([{"low": {"value": 6}, "high": {"value": 5}}], (None, None)),
        ([{"text": "normal"}], (None, None)),
    ],
)  # fmt: skip
def test_reference_ranges(ranges: list[dict[str, Any]], limits: tuple[float | None, float | None]) -> None:
    (lab,) = only_visit(observation("Potassium", **amount(4.4), referenceRange=ranges)).labs
    assert (lab.low, lab.high) == limits


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        (observation("Potassium"), "Observation: without a value"),
        (observation("", **amount(4)), "Observation: without a name"),
        (observation("Potassium", None, **amount(4)), "Observation: without a date"),
        (observation("Potassium", "2024-02-30", **amount(4)), "Observation: without a date"),
        (observation("Potassium", **amount(float("inf"))), "Observation: valueQuantity not readable"),
        (observation("Potassium", **amount(True)), "Observation: valueQuantity not readable"),
        (observation("Wave", valueSampledData={"data": "1 2"}), "Observation: valueSampledData not readable"),
        (observation("Potassium", **amount(4), status="entered-in-error"), "Observation: entered in error"),
        (observation("Potassium", **amount(4), status="cancelled"), "Observation: cancelled"),
        (encounter("e1", None), "Encounter: without a date"),
        (encounter("e1", "2024-01-01", status="planned"), "Encounter: planned"),
        ({"resourceType": "Condition", "recordedDate": "2024-01-01"}, "Condition: without a name"),
        ({"resourceType": "Condition", "code": named("Gout"), "recordedDate": "2024"}, "Condition: without a date"),
        ({"resourceType": "Condition", "code": named("Gout"), "recordedDate": "2024-01-01",
          "verificationStatus": coded("refuted")}, "Condition: refuted"),
        ({"resourceType": "MedicationRequest", "medicationCodeableConcept": named("Aspirin"), "intent": "plan",
          "authoredOn": "2024-01-01"}, "MedicationRequest: only proposed"),
        ({"resourceType": "DiagnosticReport", "issued": "2024-01-01"}, "DiagnosticReport: without a text"),
        ({"resourceType": "MedicationStatement", "dateAsserted": "2024-01-01"}, "MedicationStatement: without a name"),
        ({"resourceType": "AllergyIntolerance", "recordedDate": "2024-01-01"}, "AllergyIntolerance: without a name"),
        ({"resourceType": "AllergyIntolerance", "code": named("Nuts"), "recordedDate": "2024-01-01",
          "verificationStatus": coded("entered-in-error")}, "AllergyIntolerance: entered in error"),
        ({"resourceType": "Procedure", "performedDateTime": "2024-01-01"}, "Procedure: without a name"),
        ({"resourceType": "DocumentReference", "date": "2024-01-01", "content": [{"attachment": {
            "contentType": "text/plain", "data": "A"}}]}, "DocumentReference: attachment without a text"),
        (observation("Potassium", **amount(10**400)), "Observation: valueQuantity not readable"),
        ({"resourceType": "Coverage"}, "Coverage: not part of the history"),
        ({"resourceType": 7}, "entry: without a resource"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_counted(resource: dict[str, Any], reason: str) -> None:
    assert reasons(resource) == {reason: 1}


def test_a_part_that_cannot_be_used_costs_only_itself() -> None:
    parts = [{"code": named("Systolic"), **amount(141, "mm[Hg]")}, {"code": named("Diastolic")}]
    record = record_of(bundle(patient(), observation("Blood pressure", component=parts)))
    assert record.skipped == {"Observation, in part: without a value": 1}
    assert record.gaps() == ("Observation, in part: without a value (1)",)
    assert [lab.name for lab in record.visits[0].labs] == ["Systolic"]


def test_what_must_not_be_given_was_not_given() -> None:
    order = {
        "resourceType": "MedicationRequest", "medicationCodeableConcept": named("Penicillin"),
        "authoredOn": "2024-01-01", "status": "active", "doNotPerform": True,
    }  # fmt: skip
    assert only_visit(order).medications == ("Penicillin (not to be given)",)


def test_an_allergy_stands_among_the_conditions() -> None:
    allergy = {
        "resourceType": "AllergyIntolerance", "code": named("Penicillin"), "recordedDate": "2024-01-01",
        "criticality": "high", "reaction": [{"manifestation": [named("Anaphylaxis")]}],
    }  # fmt: skip
    assert only_visit(allergy).conditions == (
        "Allergy or intolerance: Penicillin, criticality high, reaction Anaphylaxis",
    )


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("text/plain", "Kein Erguß.".encode(), "Kein Erguß."),
        ("text/plain; charset=ISO-8859-1", "Kein Erguß.".encode("latin-1"), "Kein Erguß."),
        ("text/html", b"<div>No <b>effusion</b>.<br>\nHeart &lt; 0.5</div>", "No effusion .\nHeart < 0.5"),
    ],
)
def test_presented_text_is_read(kind: str, data: bytes, said: str) -> None:
    form = {"contentType": kind, "data": base64.b64encode(data).decode()}
    report = {
        "resourceType": "DiagnosticReport",
        "code": named("Film"),
        "issued": "2024-01-01",
        "presentedForm": [form],
    }
    assert only_visit(report).reports == (f"Film: {said}",)


def test_attachments_without_a_text_are_counted_and_links_not_followed() -> None:
    forms = [
        {"contentType": "application/pdf", "data": "JVBERg=="},
        {"contentType": "text/plain", "url": "https://x.test/"},
    ]
    report = {
        "resourceType": "DiagnosticReport", "code": named("Film"), "issued": "2024-01-01", "presentedForm": forms,
        "conclusion": "Clear.",
    }  # fmt: skip
    record = record_of(bundle(patient(), report))
    assert record.visits[0].reports == ("Film: Clear.",)
    assert record.skipped == {"DiagnosticReport, in part: attachment without a text": 2}


def test_notes_studies_and_procedures_are_lines() -> None:
    note = {
        "resourceType": "DocumentReference", "type": named("Letter"), "date": "2024-01-01T08:00:00Z",
        "content": [{"attachment": {"contentType": "text/plain", "data": base64.b64encode(b"Well.").decode()}}],
    }  # fmt: skip
    study = {
        "resourceType": "ImagingStudy", "started": "2024-01-01", "description": "CT head", "status": "available",
        "series": [{"modality": {"code": "CT"}, "bodySite": {"display": "Head"}}] * 2,
    }  # fmt: skip
    done = {
        "resourceType": "Procedure",
        "code": named("Colonoscopy"),
        "status": "not-done",
        "performedDateTime": "2024-01-01",
    }
    assert set(only_visit(note, study, done).reports) == {
        "Letter: Well.", "Imaging study: CT head; CT; Head", "Procedure: Colonoscopy (not-done)",
    }  # fmt: skip


def test_of_several_versions_the_one_updated_last_counts() -> None:
    old = observation("Sodium", **amount(130), id="o1", meta={"lastUpdated": "2024-01-01T00:00:00Z"})
    new = observation("Sodium", **amount(140), id="o1", meta={"lastUpdated": "2024-03-01T00:00:00Z"})
    for order in ((old, new), (new, old)):
        assert [lab.value for lab in only_visit(*order).labs] == [140]
        assert reasons(*order) == {"Observation: another version": 1}


def test_the_order_of_entries_does_not_matter() -> None:
    shuffled = copy.deepcopy(FULL)
    for seed in range(5):
        random.Random(seed).shuffle(shuffled["entry"])
        assert record_of(shuffled) == record_of(FULL)


@pytest.mark.parametrize(
    ("born", "day", "age"),
    [
        ("1960", "2024-12-31", 64),
        ("1960", "2024-03-01", None),  # 63 or 64
        ("1960-06", "2024-06-15", None),
        ("1960-06", "2024-07-01", 64),
        ("1960-12", "2024-12-31", 64),
        ("2024-07-01", "2024-06-01", None),
        ("1960-13-01", "2024-06-01", None),
        (1960, "2024-06-02", None),
    ],
)
def test_an_age_is_stated_only_when_the_birth_date_decides_it(born: Any, day: str, age: int | None) -> None:
    assert record_of(bundle(patient(birthDate=born))).age_on(datetime.date.fromisoformat(day)) == age


def test_a_visit_in_plain_words() -> None:
    visit = record_of(FULL).visits[0]
    assert visit_text(visit) == (
        "Check up: Fatigue\nConditions: Hypertension, since 2011-04-02\n"
        "Measured: Potassium 5.4 mmol/L (reference 3.5 to 5.1)"
    )
    assert visit_text(Visit(date=visit.date)) == ""
    assert visit_text(record_of(FULL).visits[2]).splitlines()[-1].startswith("Measured: ")


# Files


def test_plain_and_compressed_files_are_one(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.json", tmp_path / "a.json.gz"
    plain.write_text(json.dumps(FULL), encoding="utf-8")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_record(plain) == read_record(packed) == record_of(FULL)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b'{"resourceType": "Bundle", "total": NaN}', "JSON"),
        (b"[" * 200_000, "JSON|FHIR"),
        (b"[]", "FHIR R4 Bundle"),
        (b'{"resourceType": "Patient", "id": "x"}', "Bundle; got Patient"),
        (gzip.compress(b"{}" * 500)[:-9], "whole gzip file"),
        (b"\x1f\x8b" + b"\0" * 40, "whole gzip file"),
    ],
)
def test_files_that_are_no_bundle(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "record.json").write_bytes(data)
    with pytest.raises(InputError, match=said):
        read_record(tmp_path / "record.json")


def test_files_that_are_not_there_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="check the path"):
        read_record(tmp_path / "none.json")
    with pytest.raises(InputError, match="no regular file"):
        read_record(tmp_path)
    monkeypatch.setattr(fhir, "LIMIT_BYTES", 10_000)
    monkeypatch.setattr(fhir, "LIMIT_ENTRIES", 100)
    (tmp_path / "large.json").write_bytes(b" " * 10_001)
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b" " * 1_000_000))
    for name in ("large.json", "bomb.json.gz"):
        with pytest.raises(InputError, match="of record"):
            read_record(tmp_path / name)
    with pytest.raises(InputError, match="at most 100 entries"):
        record_of(bundle(*[{"resourceType": "Claim"}] * 101))


# Whatever the JSON holds


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()), max_size=8)
    | st.sampled_from(["2024-01-31", "final", "Observation", "Encounter/e1", 10**400, "\ud800", "text/plain"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["code", "text", "value", "reference", "coding", "start"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, child in children for place in _places(child, (*path, key)))]


PLACES = [place for place in _places(FULL) if place]


@given(st.lists(st.tuples(st.sampled_from(PLACES), JUNK | st.just("delete")), min_size=1, max_size=6))
def test_a_mangled_bundle_is_read_or_refused(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    mangled = copy.deepcopy(FULL)
    for path, junk in changes:
        node: Any = mangled
        try:
            for key in path[:-1]:
                node = node[key]
            if junk == "delete":
                del node[path[-1]]
            else:
                node[path[-1]] = junk
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    try:
        record = record_of(mangled)
    except InputError:
        return
    check(record, mangled)
    assert PatientRecord.model_validate_json(record.model_dump_json()) == record


@given(JUNK)
def test_anything_else_is_no_bundle(junk: Any) -> None:
    with pytest.raises(InputError):
        record_of(junk)


def check(record: PatientRecord, source: dict[str, Any]) -> None:
    """What holds of every record: nothing is lost from the counts, no id survives, visits are in order."""
    entries = source.get("entry")
    whole = sum(count for reason, count in record.skipped.items() if ", in part: " not in reason)
    assert sum(record.read.values()) + whole == (len(entries) if isinstance(entries, list) else 0)
    assert list(record.visits) == sorted(record.visits, key=lambda visit: visit.date)
    assert RAW not in record.model_dump_json()
    for visit in record.visits:
        visit_text(visit)


# Real exports


def records(data_dir: Path) -> list[Path]:
    found = sorted((data_dir / "fhir_synthea_r4").glob("*.json.gz"))
    if not found:
        pytest.skip("no sample data: fhir_synthea_r4 holds no record")
    return found


def test_every_synthea_record_is_read_whole(data_dir: Path) -> None:
    """Compared with an independent count of the resources: everything clinical is read, the rest named by type."""
    for path in records(data_dir):
        source = json.loads(gzip.decompress(path.read_bytes()))
        resources = [entry["resource"] for entry in source["entry"]]
        counts = Counter(resource["resourceType"] for resource in resources)
        record = read_record(path)
        check(record, source)
        assert record.read == {kind: counts[kind] for kind in sorted(READ) if counts[kind]}
        assert record.skipped == {
            f"{kind}: not part of the history": count for kind, count in sorted(counts.items()) if kind not in READ
        }
        assert record.gaps() == ()
        observations = [resource for resource in resources if resource["resourceType"] == "Observation"]
        numbers = [part for one in observations for part in (one, *one.get("component", ())) if "valueQuantity" in part]
        lines = [one for one in observations if "valueString" in one or "valueCodeableConcept" in one]
        labs = [lab for visit in record.visits for lab in visit.labs]
        assert sorted(lab.value for lab in labs) == sorted(part["valueQuantity"]["value"] for part in numbers)
        assert all(lab.unit for lab in labs)
        assert_nothing_later(record.visits)
        lines_of_conditions = [line for visit in record.visits for line in visit.conditions]
        endings = [line for line in lines_of_conditions if ", resolved " in line]
        assert len(endings) == sum("abatementDateTime" in resource for resource in resources)
        assert len(lines_of_conditions) - len(endings) == counts["Condition"] + counts["AllergyIntolerance"]
        assert sum(len(visit.medications) for visit in record.visits) == counts["MedicationRequest"]
        told = counts["DiagnosticReport"] + counts["Procedure"] + counts["Immunization"] + len(lines)
        assert sum(len(visit.reports) for visit in record.visits) == told + counts["Encounter"]
        days = Counter(item["period"]["start"][:10] for item in resources if item["resourceType"] == "Encounter")
        held = Counter(str(visit.date) for visit in record.visits if visit.reports)
        assert held == days
        (who,) = (resource for resource in resources if resource["resourceType"] == "Patient")
        assert str(record.born and record.born[0]) == who["birthDate"]
        assert record.sex == who["gender"]
        written = record.model_dump_json()
        assert who["id"] not in written
        assert f"{who['name'][0]['given'][0]} {who['name'][0]['family']}" not in written
