"""What the store says of a case before any agent is asked: passages, similar pictures. It judges nothing."""

from __future__ import annotations

import asyncio

from ..core.case import Case
from ..core.errors import ToolBrokenError
from ..core.evidence import Evidence
from ..knowledge.ontology import findings_in
from ..knowledge.store import Hit, Query
from .evidence import found
from .requests import Deps, look_up

PASSAGES, PICTURES = 3, 3
"""Hits for the question, and for each image."""

FINDINGS, EACH = 3, 2
"""Findings named in the case that are looked up by themselves, and the passages for each."""


async def context(case: Case, deps: Deps) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
    """Evidence that every agent of the case sees, `triage.p1` and on, and the limitations that come of it.

    Looked up are the question, the findings that question and given text name, and, where the store has pictures, the
    images of the case. Nothing dated after the case is found.
    """
    try:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(_found(query, deps)) for query in _queries(case, deps)]
    except ExceptionGroup as failures:  # a full disk, a divergence: callers wait for the error itself
        raise failures.exceptions[0] from None
    evidence: list[Evidence] = []
    notes: list[str] = []
    for task in asked:
        hits, span, note = task.result()
        known = {(item.source.name, item.source.span) for item in evidence}
        fresh = [hit for hit in hits if (hit.passage.id, hit.span) not in known]
        evidence += found("triage", len(evidence) + 1, fresh, span)
        notes += [note] if note else []
    return tuple(evidence), tuple(dict.fromkeys(notes))


def _queries(case: Case, deps: Deps) -> list[Query]:
    own = Query(text=case.question, patient_id=case.patient_id, until=case.date, limit=PASSAGES)
    modalities = {image.modality for image in case.images if image.modality}
    one = modalities.pop() if len(modalities) == 1 else None
    named = findings_in("\n".join((case.question, *case.context)))[:FINDINGS]
    queries = [own]
    queries += [own.model_copy(update={"text": finding.name, "modality": one, "limit": EACH}) for finding in named]
    if deps.knowledge.pictured:
        shown = [image for image in case.images if image.blob]
        looked_for = ({"text": "", "image": image.blob, "modality": image.modality} for image in shown)
        queries += [own.model_copy(update={**asked, "limit": PICTURES}) for asked in looked_for]
    return queries


async def _found(query: Query, deps: Deps) -> tuple[tuple[Hit, ...], str, str]:
    """The hits and the step that found them; or why there are none."""
    try:
        return (*await look_up(query, deps, scope="triage"), "")
    except ToolBrokenError as error:
        return (), "", f"looking something up broke: {error}"
