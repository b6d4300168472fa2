"""A patient's record read from an HL7 FHIR R4 (4.0.1) Bundle of any type: dated visits under a pseudonym.

The raw id, the patient's other identifiers and the full name as the record writes it do not leave this module: where
they stand in a text they are replaced, but for identifiers too short to be told from any number. What else a text says
of a person stays as written, names in another order too. What cannot be used is skipped and counted, never
guessed. It fetches nothing and asks for no terminology. Source: https://hl7.org/fhir/R4/resourcelist.html
"""

from __future__ import annotations

import datetime
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ...core.canonical import Json, canonical_json, digest, sha256
from ...core.case import Lab, Visit, check_one_patient, pseudonym
from ...core.errors import InputError
from ...core.frozen import Frozen
from .fhir_resources import READERS, Found, Resource, read_resource
from .fhir_types import code, concepts, day, joined, line, mapping, mappings, reference, span
from .history import lab_text

LIMIT_BYTES = 64 * 2**20
"""The most bytes a file may have, before and after it is unpacked."""

LIMIT_ENTRIES = 100_000

_ELSEWHERE = "not part of the history"
_NEVER_HELD = {"planned", "cancelled", "entered-in-error"}
_KIND = re.compile(r"[A-Z][A-Za-z]{1,40}")
_SEXES: dict[str, Literal["female", "male"]] = {"female": "female", "male": "male"}
_SHORTEST_ID = 6
"""Characters from which on an identifier is looked for in texts: a shorter one may be any number."""

_MOST_NAMES = 200
"""The most names and identifiers that are looked for, the longest; no patient has as many."""


class PatientRecord(Frozen):
    """One patient's visits, oldest first, under a pseudonym.

    `other_ids` are the pseudonyms of the patient's other identifiers, such as a medical record number. `born` is the
    first and the last day that the birth date may mean. `read` counts the resources that were used, by type;
    `skipped` counts what was not, by "Type: reason" (a whole resource) or "Type, in part: reason".
    """

    patient_id: str
    other_ids: tuple[str, ...] = ()
    sex: Literal["female", "male"] | None = None
    born: tuple[datetime.date, datetime.date] | None = None
    visits: tuple[Visit, ...] = ()
    read: dict[str, int]
    skipped: dict[str, int]

    def age_on(self, date: datetime.date) -> int | None:
        """Completed years; None before birth, and where the known part of the birth date does not decide it."""
        ages = {date.year - born.year - ((date.month, date.day) < (born.month, born.day)) for born in self.born or ()}
        return min(ages) if len(ages) == 1 and min(ages) >= 0 else None

    def gaps(self) -> tuple[str, ...]:
        """What belongs to the history and could not be read, with counts."""
        return tuple(f"{reason} ({count})" for reason, count in self.skipped.items() if not reason.endswith(_ELSEWHERE))


def read_record(path: Path) -> PatientRecord:
    """The record in a FHIR Bundle, plain JSON or compressed with gzip; one patient per file.

    Raises InputError for a file that is missing, too large, damaged or no Bundle, and for two patients.
    """
    return record_of(read_json(path))


def read_json(path: Path) -> Json:
    """The JSON of a file, unpacked where it is compressed; what it says is not looked at. Raises InputError."""
    try:
        return json.loads(_unpacked(path).decode("utf-8-sig"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        got = str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise InputError(expected=f"{path} to be JSON", got=got, fix="export the record again") from None


def is_fhir(found: Json) -> bool:
    """Whether JSON is meant to be a FHIR resource."""
    return isinstance(found, dict) and "resourceType" in found


def record_of(bundle: Json) -> PatientRecord:
    """The record of the one patient that a Bundle speaks of; the order of its entries does not matter.

    A visit is an Encounter that took place, on the day it began. What was measured or done on another day, as in a
    long stay, stands at its own date, and so does what names no Encounter. What was written for an Encounter stands
    with it, but never before its own dates: a diagnosis at the latest of the encounter's start, the onset and the
    record; that it is over, at the day it was over. So no visit tells what was not known on its date, free text and
    states without a date aside. Raises InputError.
    """
    if not is_fhir(bundle) or bundle["resourceType"] != "Bundle":
        kind = line(mapping(bundle).get("resourceType")) or f"a {type(bundle).__name__}"
        raise InputError(expected="a FHIR R4 Bundle", got=kind, fix="export all of the patient's resources as one")
    entries = bundle.get("entry")
    if isinstance(entries, list) and len(entries) > LIMIT_ENTRIES:
        raise InputError(
            expected=f"at most {LIMIT_ENTRIES} entries", got=str(len(entries)), fix="export fewer years or fewer types"
        )
    try:
        return _record(entries if isinstance(entries, list) else [])
    except RecursionError:
        raise InputError(expected="a FHIR R4 Bundle", got="one nested too deeply", fix="export it again") from None


def _record(entries: list[Json]) -> PatientRecord:
    skipped: Counter[str] = Counter()
    resources = _resources(entries, skipped)
    patient, ids = _patient(resources)
    numbers = [found for item in mappings(patient.get("identifier")) if (found := line(item.get("value")))]
    key = pseudonym(ids[0])
    clean = _Cleaner.of((*ids, *numbers), mappings(patient.get("name")))
    reader = _Reader(ids=ids, medicines=_medicines(resources), clean=clean, skipped=skipped)
    for resource in resources:
        reader.take(resource)
    return PatientRecord(
        patient_id=key,
        other_ids=tuple(sorted(set(map(pseudonym, (*ids, *numbers))) - {key})),
        sex=_SEXES.get(code(patient.get("gender"))),
        born=span(patient.get("birthDate")),
        visits=reader.visits(key),
        read=dict(sorted(reader.read.items())),
        skipped=dict(sorted(skipped.items())),
    )


def visit_text(visit: Visit) -> str:
    """A visit in plain words with units, a line for each kind of thing; "" for a visit of which nothing is known."""
    return joined([
        *visit.reports,
        "Conditions: " * bool(visit.conditions) + joined(visit.conditions),
        "Medications: " * bool(visit.medications) + joined(visit.medications),
        "Measured: " * bool(visit.labs) + joined(map(lab_text, visit.labs)),
    ], "\n")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A resource of the bundle with every id that a reference may call it by; the first is its own."""

    kind: str
    ids: tuple[str, ...]
    resource: Resource


@dataclass(kw_only=True)
class _Slot:
    """A visit in the making: one encounter, or one day."""

    date: datetime.date
    opening: str = ""
    found: list[Found] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Cleaner:
    """Takes what names the patient out of texts."""

    names: re.Pattern[str] | None

    @classmethod
    def of(cls, ids: Iterable[str], names: Iterable[Resource]) -> _Cleaner:
        secrets = {found for found in ids if len(found) >= _SHORTEST_ID}
        for name in names:
            given = [line(part) for part in name["given"]] if isinstance(name.get("given"), list) else []
            family = line(name.get("family"))
            wholes = [line(name.get("text"))]
            for first in (joined(given, " "), joined(given[:1], " ")):
                wholes += [f"{first} {family}".strip(), f"{family}, {first}".strip(" ,")]
            secrets |= {whole for whole in wholes if " " in whole}
        longest_first = sorted(secrets, key=lambda secret: (-len(secret), secret))
        words = "|".join(map(re.escape, longest_first[:_MOST_NAMES]))
        return cls(names=re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE) if words else None)

    def __call__(self, texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(self.names.sub("[patient]", text) if self.names else text for text in texts)

    def lab(self, lab: Lab) -> Lab:
        name, unit = self((lab.name, lab.unit))
        return lab.model_copy(update={"name": name, "unit": unit})


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Puts what each resource says where it belongs, and counts."""

    ids: tuple[str, ...]
    medicines: dict[str, Json]
    clean: _Cleaner
    skipped: Counter[str]
    read: Counter[str] = field(default_factory=Counter)
    encounters: dict[str, _Slot] = field(default_factory=dict)
    days: dict[datetime.date, _Slot] = field(default_factory=dict)

    def take(self, entry: _Entry) -> None:
        """One resource; encounters come before what refers to them."""
        reason = self._take(entry)
        if reason:
            self.skipped[f"{entry.kind}: {reason}"] += 1
        else:
            self.read[entry.kind] += 1

    def _take(self, entry: _Entry) -> str:
        """Why the resource is not used, or ""."""
        kind, resource = entry.kind, entry.resource
        if kind in ("Patient", "Medication"):
            return ""
        if kind in (*READERS, "Encounter") and (resource.get("focus") or _foreign(resource, self.ids)):
            return "about something else than the patient"
        if kind == "Encounter":
            return self._open(entry)
        if kind not in READERS:
            return _ELSEWHERE
        found = read_resource(self._with_medicine(resource))
        if isinstance(found, str):
            return found
        slot = self._slot(resource, found)
        if slot is None:
            return "without a date"
        self._put(slot, found)
        self.skipped.update(f"{kind}, in part: {reason}" for reason in found.missed)
        return ""

    def _open(self, entry: _Entry) -> str:
        resource = entry.resource
        date, status = day(resource.get("period")), code(resource.get("status"))
        if status in _NEVER_HELD or date is None:
            return status.replace("-", " ") if status in _NEVER_HELD else "without a date"
        why = concepts(resource.get("reasonCode"))
        slot = _Slot(date=date, opening=joined([concepts(resource.get("type")), why], ": "))
        self.encounters.update(dict.fromkeys(entry.ids, slot))
        return ""

    def _slot(self, resource: Resource, found: Found) -> _Slot | None:
        context = mapping(resource.get("context"))
        named = [resource.get("encounter"), context, *mappings(context.get("encounter"))]
        keys = (reference(item)[1] for item in named)
        slot = next((self.encounters[key] for key in keys if key in self.encounters), None)
        date = found.known(slot.date if slot else None)
        if slot and date == slot.date:
            return slot
        return self._on(date) if date else None

    def _put(self, slot: _Slot, found: Found) -> None:
        """What is over says so from that day on."""
        if found.ended is None:
            slot.found.append(found)
            return
        ending = replace(found, conditions=found.ending)
        if found.ended > slot.date:
            slot.found.append(found)
        (slot if found.ended <= slot.date else self._on(found.ended)).found.append(ending)

    def _on(self, date: datetime.date) -> _Slot:
        return self.days.setdefault(date, _Slot(date=date))

    def _with_medicine(self, resource: Resource) -> Resource:
        """A medicine that is named by reference, put in the place of the reference."""
        pointed = reference(resource.get("medicationReference"))[1]
        if not pointed or "medicationCodeableConcept" in resource:
            return resource
        inside = {f"#{line(item.get('id'))}": item.get("code") for item in mappings(resource.get("contained"))}
        named = inside.get(pointed) or self.medicines.get(pointed)
        shown = {"text": line(mapping(resource["medicationReference"]).get("display"))}
        return {**resource, "medicationCodeableConcept": named or shown}

    def visits(self, patient_id: str) -> tuple[Visit, ...]:
        slots = {id(slot): slot for slot in (*self.encounters.values(), *self.days.values())}.values()
        visits = (self._visit(slot, patient_id) for slot in slots)
        return tuple(sorted(visits, key=lambda visit: (visit.date, digest(visit.model_dump(mode="json")))))

    def _visit(self, slot: _Slot, patient_id: str) -> Visit:
        found = sorted(slot.found, key=_order)
        return Visit(
            date=slot.date,
            reports=self.clean([*filter(None, [slot.opening]), *(text for item in found for text in item.reports)]),
            conditions=self.clean(text for item in found for text in item.conditions),
            medications=self.clean(text for item in found for text in item.medications),
            labs=tuple(self.clean.lab(lab) for item in found for lab in item.labs),
            patient_id=patient_id,
        )


def _order(found: Found) -> tuple[str, str]:
    labs = [lab.model_dump() for lab in found.labs]
    return found.when, canonical_json([found.reports, found.conditions, found.medications, labs])


def _resources(entries: list[Json], skipped: Counter[str]) -> list[_Entry]:
    """The resources, encounters first; of several versions of one, the one updated last."""
    found: dict[tuple[str, str], _Entry] = {}
    for written in entries:
        resource = mapping(mapping(written).get("resource"))
        kind = line(resource.get("resourceType"))
        if not _KIND.fullmatch(kind):
            skipped["entry: without a resource"] += 1
            continue
        address = reference({"reference": written.get("fullUrl")})[1]
        ids = tuple(filter(None, dict.fromkeys((line(resource.get("id")), address)))) or (sha256(_written(resource)),)
        entry = _Entry(kind=kind, ids=ids, resource=resource)
        other = found.get((kind, ids[0]))
        if other is not None:
            skipped[f"{kind}: another version"] += 1
            entry = max(other, entry, key=lambda item: _version(item.resource))
        found[kind, ids[0]] = entry
    return [found[key] for key in sorted(found, key=lambda key: (key[0] != "Encounter", key))]


def _version(resource: Resource) -> tuple[str, str, bytes]:
    meta = mapping(resource.get("meta"))
    return line(meta.get("lastUpdated")), line(meta.get("versionId")), _written(resource)


def _written(resource: Resource) -> bytes:
    """The resource in one spelling; unlike canonical JSON, with whatever a damaged file holds."""
    return json.dumps(resource, sort_keys=True).encode()


def _patient(entries: list[_Entry]) -> tuple[Resource, tuple[str, ...]]:
    """The Patient resource ({} where there is none) and the ids references call the patient by. Raises InputError."""
    patients = [entry for entry in entries if entry.kind == "Patient"]
    ids = patients[0].ids if patients else ()
    others = {name for entry in entries if entry.kind != "Patient" for name in entry.ids}
    named = {found for entry in entries if (found := _foreign(entry.resource, ids, patients_only=True))} - others
    check_one_patient({*(entry.ids[0] for entry in patients), *named})
    if not ids and not named:
        raise InputError(expected="a bundle with a Patient", got="none", fix="export the Patient resource with it")
    return (patients[0].resource, ids) if patients else ({}, tuple(named))


def _foreign(resource: Resource, ids: tuple[str, ...], *, patients_only: bool = False) -> str:
    """The id of the subject, where it is not the patient with `ids`; "" where none is named or it is contained."""
    kind, name = reference(resource.get("subject") or resource.get("patient"))
    if name in ids or name.startswith("#") or (patients_only and kind not in ("", "Patient")):
        return ""
    return name


def _medicines(entries: list[_Entry]) -> dict[str, Json]:
    found = [entry for entry in entries if entry.kind == "Medication"]
    return {name: entry.resource.get("code") for entry in found for name in entry.ids}


def _unpacked(path: Path) -> bytes:
    """The bytes of a regular file, unpacked where they are a gzip stream. Raises InputError."""
    try:
        if path.exists() and not path.is_file():
            raise InputError(expected=f"a FHIR Bundle at {path}", got="no regular file", fix="name one .json file")
        with path.open("rb") as file:
            data = file.read(LIMIT_BYTES + 1)
        if data.startswith(b"\x1f\x8b"):
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(LIMIT_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise InputError(
            expected=f"{path} to be a whole gzip file", got="a damaged one", fix="export it again"
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(expected=f"a FHIR Bundle at {path}", got=reason, fix="check the path") from error
    if len(data) > LIMIT_BYTES:
        raise InputError(
            expected=f"at most {LIMIT_BYTES // 2**20} MiB of record in {path}", got="more", fix="export fewer years"
        )
    return data


def _no_number(name: str) -> float:
    raise ValueError(name)
