"""A vote in the attending's place, all of it code: the answer that most specialists give. It weighs no evidence.

It is what a team is measured against: what the attending adds is the difference. With one specialist it is that one's
opinion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..core.report import Dissent, Opinion
from .disagreements import disagreements
from .requests import Deps
from .state import State
from .tasks import ClaimDraft, Verdict


async def vote(state: State, deps: Deps) -> State:
    """The verdict of the majority, with the evidence of those who gave it and the others as dissent."""
    opinions = tuple(state.get("opinions", {}).values())
    if not opinions:
        reasons = "; ".join(f"{name}: {error}" for name, error in state.get("absent", {}).items())
        return State(failure=f"no specialist gave an opinion: {reasons}", attempts=1)
    shared = (*state["shared"], *disagreements(state, deps))
    conflicts = tuple(item.content for item in shared if item.name == "conflict")
    return State(verdict=elected(opinions), attempts=1, shared=shared, limitations={"conflicts": conflicts})


def elected(opinions: Sequence[Opinion]) -> Verdict:
    """The most frequent choice among `opinions`; an abstention counts as no vote.

    Of choices with as many votes, the one with the higher sum of confidences is taken, then the alphabetically first.
    The confidence is that of the winners times their share of the votes, the share alone where one states none.
    """
    voting = [opinion for opinion in opinions if not opinion.abstains]
    if not voting:
        silent = next(iter(opinions))
        return Verdict(reasoning="", abstains=True, answer=silent.answer, claims=_claims(opinions))
    votes = Counter(map(_choice, voting))
    best = min(votes, key=lambda choice: (-votes[choice], -_sum_of_confidence(voting, choice), choice))
    winners = [opinion for opinion in voting if _choice(opinion) == best]
    first = min(winners, key=lambda opinion: (-(opinion.confidence or 0.0), opinion.specialty))
    others = [opinion for opinion in opinions if opinion not in winners]
    share = len(winners) / len(voting)
    stated = [opinion.confidence for opinion in winners if opinion.confidence is not None]
    sure = sum(stated) / len(stated) * share if len(stated) == len(winners) else share
    return Verdict(
        reasoning="",
        option=first.option,
        answer=first.answer,
        confidence=round(sure, 6) if stated or len(voting) > 1 else None,
        claims=_claims(winners),
        differential=first.differential,
        dissent=tuple(
            Dissent(specialty=opinion.specialty, answer=opinion.answer, why_overruled=_why(opinion, winners, voting))
            for opinion in others
        ),
    )


def _choice(opinion: Opinion) -> str:
    """What an opinion votes for: its option, else its answer without regard to case and spaces."""
    return opinion.option or " ".join(opinion.answer.lower().split())


def _sum_of_confidence(voting: Sequence[Opinion], choice: str) -> float:
    return sum(opinion.confidence or 0.0 for opinion in voting if _choice(opinion) == choice)


def _claims(opinions: Sequence[Opinion]) -> tuple[ClaimDraft, ...]:
    """Every claim once, in the order of the opinions."""
    drafts = (ClaimDraft(text=claim.text, evidence=claim.evidence) for each in opinions for claim in each.claims)
    return tuple(dict.fromkeys(drafts))


def _why(opinion: Opinion, winners: Sequence[Opinion], voting: Sequence[Opinion]) -> str:
    return "abstained" if opinion.abstains else f"{len(winners)} of {len(voting)} votes went to another answer"
