"""Tool results, passages, met criteria and changes as evidence, numbered by who asked, in the order of asking."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

from ..core.case import Case, Image
from ..core.evidence import Evidence, EvidenceKind, Region, Source
from ..core.report import Change, Course
from ..knowledge.criteria import evaluate, shipped_criteria
from ..knowledge.store import Hit
from ..tools.card import Measurement, ToolCard, ToolResult

_COURSES: dict[Course, str] = {
    "new": "newly out of range", "worse": "worse", "stable": "stable", "better": "better", "resolved": "back in range",
    "increased": "increased", "decreased": "decreased",
}  # fmt: skip


SAME_PICTURE = 0.99995
"""Similarity from which two pictures are taken for the same."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A tool's result on one image, or on none; `label` names the image where the case has several."""

    card: ToolCard
    result: ToolResult
    image: Image | None
    label: str
    span_id: str


def measured(agent: str, first: int, result: Measured) -> list[Evidence]:
    """One piece of evidence for each measurement, then for each statement: `agent.t<first>`, and on."""
    ids = {item.name: f"{agent}.t{number}" for number, item in enumerate(result.result.measurements, start=first)}
    image = result.image
    blob = "" if image is None else image.blob or ""
    seen: dict[str, Any] = {} if image is None else {
        "modality": image.modality or "", "body_part": image.body_part or "", "view": image.view or "",
        "laterality": image.laterality, "date": image.acquired,
    }  # fmt: skip
    return [
        Evidence(
            id=f"{agent}.t{number}", kind=_kind(item), of=tuple(ids[name] for name in item.of if name in ids),
            finding=item.finding, says=item.says,
            content=f"{result.label}{item.text}", name=item.name, value=item.value, unit=item.unit,
            uncertainty=item.uncertainty, span_id=result.span_id, region=_region(item, blob),
            source=Source(kind="tool", name=result.card.name, version=result.card.version),
            **seen,
        )
        for number, item in enumerate(result.result.measurements, start=first)
    ] + _stated(agent, first + len(result.result.measurements), result)  # fmt: skip


def _stated(agent: str, first: int, result: Measured) -> list[Evidence]:
    """What a tool says in words; what it tells from the record is the case's, as given text is."""
    card = result.card
    source = Source(kind="case" if card.shelf == "record" else "tool", name=card.name, version=card.version)
    return [
        Evidence(
            id=f"{agent}.t{number}", kind="observation", name=item.topic, content=f"{result.label}{item.text}",
            span_id=result.span_id, source=source,
        )
        for number, item in enumerate(result.result.statements, start=first)
    ]  # fmt: skip


def _kind(item: Measurement) -> EvidenceKind:
    """A region is a segmentation; a probability a classification; anything else a measurement."""
    if item.mask:
        return "segmentation"
    return "classification" if item.probability else "measurement"


def found(agent: str, first: int, hits: Iterable[Hit], span_id: str) -> list[Evidence]:
    """One piece of evidence for each passage: `agent.p<first>`, and on; the content is the span that matched, for a
    picture what its source says of it."""
    return [
        Evidence(
            id=f"{agent}.p{number}", kind="similar_case" if _similar(hit) else "passage",
            name=hit.passage.title, score=round(hit.score, 4), span_id=span_id, date=hit.passage.date,
            content=_said(hit), modality=hit.passage.modalities[0] if len(hit.passage.modalities) == 1 else "",
            source=Source(
                kind="document", name=hit.passage.id, citation=hit.passage.citation, span=hit.span,
                licence=hit.passage.licence,
            ),
        )
        for number, hit in enumerate(hits, start=first)
    ]  # fmt: skip


def _said(hit: Hit) -> str:
    """The span that matched; of a patient's own record with its date, of a similar picture as what it is."""
    quoted = hit.passage.text[hit.span[0] : hit.span[1]] or hit.passage.title
    if hit.passage.patient_id is not None and hit.passage.date is not None:
        return f"Record of {hit.passage.date}: {quoted}"
    if hit.found == "described":
        return f"A picture in the index is described as: {quoted}"
    if hit.found == "image" and hit.score >= SAME_PICTURE:
        return f"This picture, or one like it in every detail, is in the index and described as: {quoted}"
    if hit.found == "image":
        return f"A similar picture in the index is described as: {quoted}"
    return quoted


def _similar(hit: Hit) -> bool:
    """Whether it is another case's picture that looks like one of this case's; the patient's own is their record."""
    return hit.found == "image" and hit.passage.patient_id is None


def criteria_evidence(
    agent: str, first: int, evidence: Iterable[Evidence], case: Case, known: Container[str] = ()
) -> list[Evidence]:
    """The diagnostic criteria that the measured values meet, without the `known` ones: `agent.c<first>`, and on."""
    verdicts = evaluate(shipped_criteria(), tuple(evidence), case.metadata)
    met = (verdict for verdict in verdicts if verdict.judgement == "met" and verdict.explanation not in known)
    return [
        Evidence(
            id=f"{agent}.c{number}", kind="criterion", name=verdict.finding, content=verdict.explanation,
            source=Source(kind="criterion", name=verdict.criterion, citation=verdict.source),
        )
        for number, verdict in enumerate(met, start=first)
    ]  # fmt: skip


def change_evidence(agent: str, first: int, changes: Iterable[Change], *, between: str) -> list[Evidence]:
    """What moved between two of `between` (visits, images), citing what was compared: `agent.d<first>`, and on."""
    return [
        Evidence(
            id=f"{agent}.d{number}", kind="observation", name="change",
            content=f"{change.finding}: {_COURSES[change.course]} since the earlier {between}: {change.detail}.",
            source=Source(kind="visit", name=f"comparison of {between}s", version=", ".join(change.evidence)),
        )
        for number, change in enumerate(changes, start=first)
    ]  # fmt: skip


def _region(item: Measurement, blob: str) -> Region | None:
    """Which image it was measured on, and where on it; None for a tool that looks at none."""
    return Region(image=blob, box_px=item.box_px, mask=item.mask) if blob else None
