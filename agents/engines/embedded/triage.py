"""Which specialties a case needs, by the modality of its images and the terms and findings in its text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ....core.case import Case
from ....core.report import Urgency
from ....knowledge.ontology import Finding, findings_in
from ...roles import Role
from ...tasks import Pick, Task, TriagePlan

TEAM = 3
"""The most specialists that are called; a choice of ours, not measured."""

_IMAGE, _PART, _TERM, _TERM_IN_CONTEXT, _FINDING = 3.0, 2.0, 1.0, 0.5, 0.5


@dataclass(frozen=True, kw_only=True)
class Match:
    """How strongly a case points to a role, and by what."""

    role: Role
    score: float
    why: tuple[str, ...]


def choose(task: Task[Any]) -> TriagePlan:
    """The roles that match best, at most three; general medicine when nothing points anywhere."""
    case = task.case
    named = findings_in("\n".join((case.question, *case.options.values(), *case.context)))
    matches = sorted((_match(role, case, named) for role in task.roles), key=lambda m: (-m.score, m.role.name))
    best = matches[0].score
    chosen = [match for match in matches if match.score > 0 and match.score >= best / 2][:TEAM]
    picks = tuple(Pick(specialty=match.role.name, reason="; ".join(match.why)) for match in chosen)
    if not picks:
        picks = (Pick(specialty="general_medicine", reason="no modality and no term points to another specialty"),)
    return TriagePlan(
        reasoning="Specialties ranked by image modality, body part and the terms found in the text.",
        modality=next((image.modality for image in case.images if image.modality), None),
        urgency=_urgency(task),
        difficulty="easy" if len(picks) == 1 else "hard",
        specialists=picks,
    )


def _match(role: Role, case: Case, named: Sequence[Finding]) -> Match:
    score, why = 0.0, []
    for image in case.all_images():
        exact = image.body_part in role.body_parts
        if image.modality in role.modalities and (exact or not role.body_parts):
            score = max(score, _IMAGE + _PART * exact)
            why = [f"reads {image.modality} of the {image.body_part}" if exact else f"reads {image.modality}"]
    asked = " ".join((case.question, *case.options.values())).lower()
    histories = ((*visit.reports, *visit.conditions, *visit.medications) for visit in case.visits)
    told = " ".join((*case.context, *(said for history in histories for said in history))).lower()
    labs = " ".join(lab.name for visit in case.visits for lab in visit.labs).lower()
    in_question = _terms(role).findall(asked)
    in_context = set(_terms(role).findall(f"{told} {labs}")) - set(in_question)
    score += _TERM * len(set(in_question)) + _TERM_IN_CONTEXT * len(in_context)
    terms = sorted({*in_question, *in_context})
    if terms:
        why.append(f"terms: {', '.join(terms[:4])}")
    own = [finding.name for finding in named if role.name in finding.specialties]
    if own:
        score += _FINDING * len(own)
        why.append(f"findings: {', '.join(own[:4])}")
    return Match(role=role, score=score, why=tuple(why))


@cache
def _terms(role: Role) -> re.Pattern[str]:
    words = sorted(role.terms, key=len, reverse=True)
    return re.compile(r"(?<!\w)(?:" + "|".join(re.escape(word) for word in words) + r")(?:e?s)?(?!\w)")


def _urgency(task: Task[Any]) -> Urgency:
    return "urgent" if any(item.name == "red flag" for item in task.shared) else "routine"
