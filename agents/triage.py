"""The second node: who should see the case, how pressing it is, how hard. It opens no image."""

from __future__ import annotations

from ..core.errors import DecisionError
from ..core.report import Urgency
from .budget import allot
from .context import context
from .requests import Deps, ask
from .roles import Role
from .state import State
from .tasks import Pick, Task, TriagePlan

_ORDER: tuple[Urgency, ...] = ("routine", "urgent", "emergency")


async def triage(state: State, deps: Deps) -> State:
    """The plan, with what the store says of the case; or, when no usable plan came, the failure: nobody is called on a
    guess. Where there is only one role, nobody has to be asked who should see the case."""
    looked_up, broken = await context(state["case"], deps)
    shared = (*state["shared"], *looked_up)
    task = Task(kind="triage", agent="triage", schema=TriagePlan, case=state["case"], roles=deps.roles, shared=shared)
    try:
        plan = _of_one(deps.roles[0]) if len(deps.roles) == 1 else await ask(task, deps, allot(deps.budget, 1))
    except DecisionError as error:
        return State(shared=shared, failure=f"triage failed: {error}", limitations={"triage": broken})
    known = {role.name for role in deps.roles}
    strangers = sorted({pick.specialty for pick in plan.specialists} - known)
    plan = plan.model_copy(update={"specialists": _distinct(plan, known)})
    if not plan.specialists:
        failure = f"triage failed: expected specialties of the table; got {', '.join(strangers)}"
        return State(shared=shared, failure=failure, limitations={"triage": broken})
    allowed = allot(deps.budget, len(plan.specialists)).specialists
    notes = [f"triage named {name}, which is not a specialty here" for name in strangers]
    notes += [
        f"{pick.specialty} was not asked: the budget of calls is too small" for pick in plan.specialists[allowed:]
    ]
    plan = plan.model_copy(update={"specialists": plan.specialists[:allowed]})
    urgency = max(state["urgency"], plan.urgency, key=_ORDER.index)
    return State(shared=shared, plan=plan, urgency=urgency, limitations={"triage": (*broken, *notes)})


def team(state: State) -> list[str]:
    """The specialties of the plan, in alphabetical order."""
    return sorted(pick.specialty for pick in state["plan"].specialists)


def _of_one(role: Role) -> TriagePlan:
    """The plan where there is nobody to choose from; the red flags alone say how pressing the case is."""
    pick = Pick(reason="works alone", specialty=role.name)
    return TriagePlan(reasoning="", urgency="routine", difficulty="easy", specialists=(pick,))


def _distinct(plan: TriagePlan, known: set[str]) -> tuple[object, ...]:
    """The plan's picks that are in the table, each specialty once, and one only for an easy case."""
    picks = {pick.specialty: pick for pick in reversed(plan.specialists) if pick.specialty in known}
    ordered = sorted(picks.values(), key=plan.specialists.index)
    return tuple(ordered[:1] if plan.difficulty == "easy" else ordered)
