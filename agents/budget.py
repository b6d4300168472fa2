"""How a case's budget is shared out: before anyone spends it, so that no share depends on who comes first."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.settings import Budget

TRIAGE_CALLS = 2
"""The plan, and one more when the first reply could not be used."""

ATTENDING_CALLS = 2
"""The attending's answer, and one more: to repair it, or after verification sent it back."""

MAX_TURNS = 4
"""The most turns a specialist gets; a choice of ours, not measured."""


LARGEST_TEAM = 4
"""As many specialists as a plan may name."""


@dataclass(frozen=True, kw_only=True)
class Allotment:
    """What each agent may use: `specialists` of the team; for every one of them `calls` and `tokens`.

    A specialist has at most `turns` turns; what is left of its calls is for repairs.
    """

    specialists: int
    turns: int
    calls: int
    tokens: int

    def calls_of(self, agent: str) -> int:
        """The most calls `agent` may make."""
        return {"triage": TRIAGE_CALLS, "attending": ATTENDING_CALLS}.get(agent, self.calls)


def allot(budget: Budget, wanted: int) -> Allotment:
    """Shares for a team of `wanted` specialists; a team too large for the calls left is cut to what fits.

    Triage and the attending have two calls each. Tokens are shared out for the largest team there can be, so that all
    shares together never exceed the budget; a call that was started is let finish, which can exceed its share once.
    """
    calls = budget.calls - TRIAGE_CALLS - ATTENDING_CALLS
    specialists = min(wanted, calls)
    each = calls // specialists
    return Allotment(
        specialists=specialists,
        turns=min(MAX_TURNS, each),
        calls=each,
        tokens=budget.tokens // (LARGEST_TEAM + 2),
    )
