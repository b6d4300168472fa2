"""How a case's budget is shared out: before anyone spends it, so that no share depends on who comes first."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.settings import Budget

ATTENDING_CALLS = 2
"""The attending's answer, and one more after verification sent it back."""

MAX_TURNS = 4
"""The most turns a specialist gets; a choice of ours, not measured."""


LARGEST_TEAM = 4
"""As many specialists as a plan may name."""


@dataclass(frozen=True, kw_only=True)
class Allotment:
    """What each agent may use: `specialists` of the team, `turns` and `tokens` for every one of them."""

    specialists: int
    turns: int
    tokens: int


def allot(budget: Budget, wanted: int) -> Allotment:
    """Shares for a team of `wanted` specialists; a team too large for the calls left is cut to what fits.

    Triage takes one call, the attending two. Tokens are shared out for the largest team there can be, so that all
    shares together never exceed the budget; a call that was started is let finish, which can exceed its share once.
    """
    calls = budget.calls - 1 - ATTENDING_CALLS
    specialists = min(wanted, calls)
    return Allotment(
        specialists=specialists,
        turns=min(MAX_TURNS, calls // specialists),
        tokens=budget.tokens // (LARGEST_TEAM + 2),
    )
