"""Tool results, passages and fired criteria as evidence, numbered by who asked and in which order they asked."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.case import Case, Image
from ..core.evidence import Evidence, Region, Source
from ..knowledge.criteria import evaluate, load_criteria
from ..knowledge.store import Hit
from ..tools.card import Measurement, ToolCard, ToolOutput


def measured(
    agent: str, first: int, card: ToolCard, output: ToolOutput, image: Image, image_name: str, span_id: str
) -> list[Evidence]:
    """One piece of evidence for each measurement: `agent.t<first>`, and on."""
    return [
        Evidence(
            id=f"{agent}.t{number}", kind="segmentation" if item.mask else "measurement",
            content=f"{image_name}: {item.text}", name=item.name, value=item.value, unit=item.unit,
            uncertainty=item.uncertainty, span_id=span_id, region=_region(item, image.blob or ""),
            source=Source(kind="tool", name=card.name, version=card.version),
        )
        for number, item in enumerate(output.measurements(), start=first)
    ]  # fmt: skip


def found(agent: str, first: int, hits: Iterable[Hit], span_id: str) -> list[Evidence]:
    """One piece of evidence for each passage: `agent.p<first>`, and on; the content is the span that matched."""
    return [
        Evidence(
            id=f"{agent}.p{number}", kind="passage", name=hit.passage.title, score=round(hit.score, 4),
            content=hit.passage.text[hit.span[0] : hit.span[1]], span_id=span_id,
            source=Source(
                kind="document", name=hit.passage.id, citation=hit.passage.citation, span=hit.span
            ),
        )
        for number, hit in enumerate(hits, start=first)
    ]  # fmt: skip


def criteria_evidence(agent: str, evidence: Iterable[Evidence], case: Case) -> list[Evidence]:
    """The diagnostic criteria that the measured values meet: `agent.c1`, and on."""
    verdicts = evaluate(load_criteria(), tuple(evidence), case.metadata)
    return [
        Evidence(
            id=f"{agent}.c{number}", kind="criterion", name=verdict.criterion.finding, content=verdict.explanation,
            source=Source(
                kind="criterion", name=verdict.criterion.id, version=verdict.evidence_id,
                citation=verdict.criterion.source,
            ),
        )
        for number, verdict in enumerate((v for v in verdicts if v.state == "met"), start=1)
    ]  # fmt: skip


def _region(item: Measurement, blob: str) -> Region | None:
    if item.box_px is None and item.mask is None:
        return None
    return Region(image=blob, box_px=item.box_px, mask=item.mask)
