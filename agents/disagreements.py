"""Where tools and reports contradict each other, as evidence for everyone after the specialists. It takes no side."""

from __future__ import annotations

from ..core.evidence import Evidence, Source
from ..tools.conflicts import Conflict, conflicts, readings, report_stances, stances
from .requests import Deps
from .state import State
from .verify import evidence_of


def disagreements(state: State, deps: Deps) -> tuple[Evidence, ...]:
    """One piece of evidence for each contradiction between two pieces of evidence of the case: `conflict.1`, and on."""
    evidence = tuple(evidence_of(state).values())
    cards = {card.name: card for card in deps.toolbox.cards}
    told = (
        stance
        for item in evidence
        if item.kind == "passage" and item.source.kind == "case"
        for stance in report_stances(item.content, item.date or state["case"].date, evidence=item.id)
    )
    found = conflicts((*stances(evidence, cards), *told), readings(evidence, cards))
    return tuple(_evidence(number, conflict) for number, conflict in enumerate(found, start=1))


def _evidence(number: int, conflict: Conflict) -> Evidence:
    return Evidence(
        id=f"conflict.{number}", kind="observation", name="conflict", content=conflict.sentence,
        of=tuple(name for name in conflict.evidence if name), finding=conflict.about,
        source=Source(kind="case", name="comparison of the evidence"),
    )  # fmt: skip
