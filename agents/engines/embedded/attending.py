"""How opinions are weighed without a model: by the confidence their evidence gave them; the rest is kept as dissent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.report import Dissent, Opinion
from ...tasks import ClaimDraft, Task, Verdict
from .calculators import OPENING
from .specialist import ABSTENTION
from .wording import told

ANSWERED = 6
"""The most claims the answer repeats; the others stand below it."""


def weigh(task: Task[Any]) -> Verdict:
    """The option with the most weight behind it, or everything that was found; an abstention when nobody answers.

    No confidence is given: shares of matching words are not calibrated.
    """
    speaking = [opinion for opinion in task.opinions if not opinion.abstains]
    doubts = [item.content for item in task.evidence if item.name == "another kind"]
    if not speaking:
        said = [opinion.answer for opinion in task.opinions] or [ABSTENTION]
        return Verdict(
            reasoning="Every specialist abstains.",
            abstains=True,
            answer=" ".join(dict.fromkeys((*doubts, *said))),
            claims=_claims(task.opinions, task) if any(opinion.claims for opinion in task.opinions) else (),
        )
    if not task.case.options:
        claims = _claims(speaking, task)
        asked_for = (opinion.would_change_my_mind for opinion in speaking)
        unrun = dict.fromkeys(sentence for sentence in asked_for if sentence.startswith(OPENING))
        return Verdict(
            reasoning="The opinions measure and cite different things; all of it is reported.",
            answer=" ".join((*unrun, *(claim.text for claim in claims[:ANSWERED]))),
            claims=claims,
        )
    weights = _weights(speaking)
    winner = min(weights, key=lambda option: (-weights[option], option))
    behind = [opinion for opinion in speaking if opinion.option == winner]
    return Verdict(
        reasoning=f"Weight per option: {', '.join(f'{o} {w:.2f}' for o, w in sorted(weights.items()))}.",
        answer=" ".join((*doubts, behind[0].answer)),
        option=winner,
        claims=_claims(behind, task),
        dissent=tuple(_overruled(opinion, winner, weights) for opinion in speaking if opinion.option != winner),
    )


def _weights(opinions: Sequence[Opinion]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for opinion in opinions:
        if opinion.option is not None:
            weights[opinion.option] = weights.get(opinion.option, 0.0) + (opinion.confidence or 0.0)
    return weights


def _overruled(opinion: Opinion, winner: str, weights: dict[str, float]) -> Dissent:
    option = opinion.option or ""
    return Dissent(
        specialty=opinion.specialty,
        answer=opinion.answer,
        why_overruled=f"weight {weights.get(option, 0.0):.2f} for {option}, {weights[winner]:.2f} for {winner}",
    )


def _claims(opinions: Sequence[Opinion], task: Task[Any]) -> tuple[ClaimDraft, ...]:
    """Each statement once with all its evidence, what the question asks about first; every criterion that is met, every
    contradiction and every image of another kind than stated is among them, and nothing that verification refused."""
    cited: dict[str, list[str]] = {}
    for opinion in opinions:
        for claim in opinion.claims:
            if not any(f"“{claim.text}”" in problem for problem in task.problems):
                cited.setdefault(claim.text, []).extend(claim.evidence)
    for item in task.evidence:
        if item.kind == "criterion" or item.name in ("conflict", "another kind"):
            cited.setdefault(item.content, []).extend((item.id, *item.of))
    claims = (ClaimDraft(text=text, evidence=tuple(dict.fromkeys(ids))) for text, ids in cited.items())
    return told(claims, task.evidence, task.case.question)
