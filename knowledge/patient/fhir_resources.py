"""What one resource of HL7 FHIR R4 (4.0.1) adds to a visit: values with units, and short lines in plain words.

A reader takes a resource and returns what it found, or the reason why there is nothing. It knows no other resource.

What is written (a diagnosis, an order, a report, a note) stands at the latest of its dates, the onset as well as the
record, so that nothing is known before it was written. What is measured or done stands at the day it was done, whenever
it was issued, and where that took days, at the last. A state without a date of its own (an order that was stopped, a
problem that resolved) is the export's and is told with the resource.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypedDict

from ...core.canonical import Json
from ...core.case import Lab
from .fhir_types import (
    Quantity,
    attached,
    bounded,
    code,
    concept,
    concepts,
    day,
    joined,
    limits,
    line,
    mapping,
    mappings,
    narrative,
    quantity,
    span,
    text,
)

Resource: TypeAlias = dict[str, Json]

_WRONG = "entered in error"
_NAMELESS = "without a name"
_DENIED = {"entered-in-error": _WRONG, "refuted": "refuted"}
_USUAL = {"", "active", "completed", "final", "amended", "corrected", "appended", "finished", "available", "current"}


Span: TypeAlias = tuple[datetime.date, datetime.date]
"""The first and the last day that a date stated in part may mean."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a resource says. `date` is its own; `happened`: it took place then, even before its encounter.

    `parts` are its dates stated in part. `ended` is the day from which on `conditions` are said as `ending`. `when`
    orders what has one date; `missed` are the reasons why parts of the resource were left out.
    """

    date: datetime.date | None
    parts: tuple[Span, ...] = ()
    ended: datetime.date | None = None
    ending: tuple[str, ...] = ()
    when: str = ""
    happened: bool = True
    reports: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    medications: tuple[str, ...] = ()
    labs: tuple[Lab, ...] = ()
    missed: tuple[str, ...] = ()

    def known(self, held: datetime.date | None) -> datetime.date | None:
        """The day it stands at, with an encounter that began on `held`: never before its own date.

        A date stated in part that begins later than every whole one counts as its last day; alone it is no date.
        """
        date = self.date if self.happened and self.date else max(filter(None, (self.date, held)), default=None)
        return max([date, *(last for first, last in self.parts if first > date)]) if date else None


def observation(resource: Resource) -> Found | str:
    """A number with a unit is a Lab; every other value is a line. A component (systolic pressure) is as a value is."""
    if code(resource.get("status")) == "cancelled":
        return "cancelled"
    name = _place(concept(resource.get("code")), resource)
    labs: list[Lab] = []
    lines: list[str] = []
    missed: list[str] = []
    if _value_key(resource):
        _take_value(name, resource, labs, lines, missed)
    for part in mappings(resource.get("component")):
        _take_value(_place(concept(part.get("code")), resource), part, labs, lines, missed)
    if not labs and not lines:
        return missed[0] if missed else "without a value"
    return Found(
        **_done(resource, "effectiveDateTime", "effectiveInstant", "effectivePeriod", "issued"),
        when=line(resource.get("effectiveDateTime")), labs=tuple(labs), reports=tuple(lines), missed=tuple(missed),
    )  # fmt: skip


def condition(resource: Resource) -> Found | str:
    verified = code(resource.get("verificationStatus"))
    if verified in _DENIED:
        return _DENIED[verified]
    name = _place(concept(resource.get("code")), resource)
    if not name:
        return _NAMELESS
    began, ended = (line(resource.get(key))[:10] for key in ("onsetDateTime", "abatementDateTime"))
    over = span(ended)
    clinical = code(resource.get("clinicalStatus"))
    if clinical in _USUAL:
        clinical = "until" if over else ""
    said = joined([
        name, concept(resource.get("severity")), f"since {began}" if span(began) else "",
        "" if verified == "confirmed" else verified,
    ], ", ")  # fmt: skip
    whole = joined([said, joined([clinical, ended if over else ""], " ")], ", ")
    return Found(
        **_told(resource, "recordedDate", "onsetDateTime", "onsetPeriod"), happened=False,
        conditions=(said if over else whole,), ended=over[1] if over else None, ending=(whole,) if over else (),
    )  # fmt: skip


def allergy(resource: Resource) -> Found | str:
    verified = code(resource.get("verificationStatus"))
    if verified in _DENIED:
        return _DENIED[verified]
    name = concept(resource.get("code"))
    if not name:
        return _NAMELESS
    risk, clinical = code(resource.get("criticality")), code(resource.get("clinicalStatus"))
    reactions = joined(
        (concepts(reaction.get("manifestation")) for reaction in mappings(resource.get("reaction"))), ", "
    )
    said = joined([
        f"Allergy or intolerance: {name}", f"criticality {risk}" if risk else "",
        f"reaction {reactions}" if reactions else "", "" if clinical in _USUAL else clinical,
    ], ", ")  # fmt: skip
    return Found(**_told(resource, "recordedDate", "onsetDateTime"), happened=False, conditions=(said,))


def medication(resource: Resource) -> Found | str:
    """A medicine that was ordered, stated or given, with its dosage as written and what became of it."""
    name = concept(resource.get("medicationCodeableConcept"))
    if not name:
        return _NAMELESS
    if code(resource.get("intent")) in ("proposal", "plan"):
        return "only proposed"
    dosages = [*mappings(resource.get("dosageInstruction")), *mappings(resource.get("dosage"))]
    dosages.append(mapping(resource.get("dosage")))  # an administration has one, not a list
    status = code(resource.get("status"))
    state = "not to be given" if resource.get("doNotPerform") is True else "" if status in _USUAL else status
    said = joined(
        [joined([name, *(line(dosage.get("text")) for dosage in dosages)], ", "), state and f"({state})"], " "
    )
    given = resource.get("resourceType") == "MedicationAdministration"
    dates = (_done if given else _told)(resource, "authoredOn", "effectiveDateTime", "effectivePeriod", "dateAsserted")
    return Found(**dates, happened=given, medications=(said,))


def report(resource: Resource) -> Found | str:
    """A diagnostic report: its conclusion and its presented text, else its narrative, else how many results it has."""
    if code(resource.get("status")) == "cancelled":
        return "cancelled"
    name = concept(resource.get("code"))
    texts, missed = _texts(mappings(resource.get("presentedForm")))
    concluded = joined([text(resource.get("conclusion")), concepts(resource.get("conclusionCode"))], "\n")
    results = len(mappings(resource.get("result")))
    counted = f"{results} results" if results > 1 else "1 result" if results else ""
    said = joined([concluded, *texts], "\n\n") or narrative(resource.get("text")) or counted
    if not name and not said:
        return "without a text"
    dates = _told(resource, "effectiveDateTime", "effectivePeriod", "issued", over=True)
    return Found(**dates, reports=(bounded(joined([name, said], ": ")),), missed=missed)


def document(resource: Resource) -> Found | str:
    """A clinical note that is carried in the resource."""
    contents = [mapping(item.get("attachment")) for item in mappings(resource.get("content"))]
    texts, missed = _texts(contents)
    if not texts:
        return missed[0] if missed else "without a text"
    name = concept(resource.get("type")) or line(resource.get("description"))
    said = bounded(joined([name, joined(texts, "\n\n")], ": "))
    return Found(**_told(resource, "date"), happened=False, reports=(said,), missed=missed)


def procedure(resource: Resource) -> Found | str:
    name = _place(concept(resource.get("code")), resource)
    why = concepts(resource.get("reasonCode"))
    outcome = concept(resource.get("outcome"))
    said = joined([name, f"for {why}" if why else "", outcome], ", ")
    return _line("Procedure", said, resource, "performedDateTime", "performedPeriod")


def immunization(resource: Resource) -> Found | str:
    return _line("Immunization", concept(resource.get("vaccineCode")), resource, "occurrenceDateTime")


def imaging(resource: Resource) -> Found | str:
    """An imaging study in one line: what it is called, with which modalities, of which body sites."""
    series = mappings(resource.get("series"))
    kinds = [code({"coding": [item]}) for item in (mapping(one.get("modality")) for one in series)]
    kinds += [code({"coding": [item]}) for item in mappings(resource.get("modality"))]
    sites = [line(mapping(one.get("bodySite")).get("display")) for one in series]
    called = line(resource.get("description")) or concepts(resource.get("procedureCode"))
    said = joined([called, joined(dict.fromkeys(kinds), ", "), joined(dict.fromkeys(sites), ", ")])
    return _line("Imaging study", said, resource, "started")


READERS: dict[str, Callable[[Resource], Found | str]] = {
    "AllergyIntolerance": allergy,
    "Condition": condition,
    "DiagnosticReport": report,
    "DocumentReference": document,
    "ImagingStudy": imaging,
    "Immunization": immunization,
    "MedicationAdministration": medication,
    "MedicationRequest": medication,
    "MedicationStatement": medication,
    "Observation": observation,
    "Procedure": procedure,
}


def read_resource(resource: Resource) -> Found | str:
    """What a resource of a type in READERS says, or why it says nothing."""
    if code(resource.get("status")) == "entered-in-error":
        return _WRONG
    return READERS[resource["resourceType"]](resource)


def _take_value(name: str, part: Resource, labs: list[Lab], lines: list[str], missed: list[str]) -> None:
    """The value[x] of an observation or a component: a Lab, a line, or the reason why it is neither."""
    key = _value_key(part)
    if not name:
        missed.append(_NAMELESS)
        return
    amount = _amount(part)
    if amount is not None and not amount.comparator:
        low, high = limits(part.get("referenceRange"), amount.unit)
        labs.append(Lab(name=name, value=amount.value, unit=amount.unit, low=low, high=high))
        return
    said = str(amount) if amount is not None else _words(key, part.get(key))
    if said:
        lines.append(f"{name}: {said}")
    else:
        missed.append("without a value" if not key else f"{line(key)} not readable")


def _amount(part: Resource) -> Quantity | None:
    integer = part.get("valueInteger")
    return quantity(part.get("valueQuantity")) or (quantity({"value": integer}) if integer is not None else None)


def _words(key: str, value: Json) -> str:
    """A value that is no single number, in words; "" for a kind that has none here (SampledData, Period)."""
    found = mapping(value)
    if key == "valueCodeableConcept":
        return concept(value)
    if key in ("valueString", "valueDateTime", "valueTime"):
        return line(value)
    if key == "valueBoolean" and isinstance(value, bool):
        return "yes" if value else "no"
    ends = {"valueRange": ("low", "high", " to "), "valueRatio": ("numerator", "denominator", " : ")}.get(key)
    if ends is None:
        return ""
    first, last = quantity(found.get(ends[0])), quantity(found.get(ends[1]))
    return f"{first}{ends[2]}{last}" if first and last else ""


def _value_key(part: Resource) -> str:
    return min((key for key in part if key.startswith("value") and key[5:6].isupper()), default="")


def _line(kind: str, said: str, resource: Resource, *dates: str) -> Found | str:
    if not said:
        return _NAMELESS
    status = code(resource.get("status"))
    state = "" if status in _USUAL else f" ({status})"
    return Found(**_done(resource, *dates), reports=(f"{kind}: {said}{state}",))


def _texts(attachments: list[Resource]) -> tuple[list[str], tuple[str, ...]]:
    """The texts that attachments carry, and a reason for each that carries none."""
    texts = [attached(attachment) for attachment in attachments]
    return [found for found in texts if found], ("attachment without a text",) * texts.count(None)


def _place(name: str, resource: Resource) -> str:
    """A name with the body site it is of: two eyes are not one."""
    site = resource.get("bodySite")
    where = concepts(site) if isinstance(site, list) else concept(site)
    return f"{name}, {where}" if name and where and where.lower() not in name.lower() else name


class _Dates(TypedDict):
    date: datetime.date | None
    parts: tuple[Span, ...]


def _done(resource: Resource, *names: str) -> _Dates:
    """The first date of `names` that is stated, of a Period its end: what took days is known when it is over."""
    found = [_dates(resource.get(name)) for name in names]
    wholes, parts = next((one for one in found if one[0]), next((one for one in found if one[1]), ([], [])))
    return {"date": max(wholes, default=None), "parts": tuple(parts)}


def _told(resource: Resource, *names: str, over: bool = False) -> _Dates:
    """The latest date of `names`, of a Period its start, or its end where the telling is of what is `over`."""
    values = (resource.get(name) for name in names)
    begun = (value.get("start") or value.get("end") if isinstance(value, dict) and not over else value
             for value in values)  # fmt: skip
    found = [_dates(value) for value in begun]
    wholes = [date for dates, _ in found for date in dates]
    return {"date": max(wholes, default=None), "parts": tuple(part for _, parts in found for part in parts)}


def _dates(value: Json) -> tuple[list[datetime.date], list[Span]]:
    """The whole days of a date, a dateTime or a Period, and those stated in part."""
    ends = [value.get("start"), value.get("end")] if isinstance(value, dict) else [value]
    parts = [found for end in ends if day(end) is None and (found := span(end))]
    return [date for end in ends if isinstance(end, str) and (date := day(end))], parts
