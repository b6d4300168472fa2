"""The attending: weighs the opinions, answers or abstains, and keeps the dissent.

It gathers nothing new, but is told where the evidence contradicts itself.
"""

from __future__ import annotations

from ..core.errors import BudgetSpentError, DecisionError
from .budget import allot
from .disagreements import disagreements
from .reliability import told
from .requests import Deps, ask
from .state import State
from .tasks import Task, Verdict


async def attending(state: State, deps: Deps) -> State:
    """The verdict; on the second attempt the problems that verification found are put to the engine.

    When the budget ran out before any opinion came, the evidence gathered so far is put to the engine alone.
    """
    attempts, share = state.get("attempts", 0) + 1, allot(deps.budget, len(state["plan"].specialists))
    if "verdict" in state and deps.calls_left("attending", share) <= 0:  # its second call went into a repair
        return State(attempts=attempts)
    opinions = tuple(state.get("opinions", {}).values())
    absent = {name: str(error) for name, error in state.get("absent", {}).items()}
    spent = any(isinstance(error, BudgetSpentError) for error in state.get("absent", {}).values())
    if not opinions and not spent:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in absent.items())
        return State(failure=f"no specialist gave an opinion: {reasons}", attempts=attempts)
    own = tuple(item for items in state.get("own", {}).values() for item in items)
    shared = state["shared"] if attempts > 1 else (*state["shared"], *disagreements(state, deps))
    task = Task(
        kind="attending", agent="attending", schema=Verdict, case=state["case"], step=attempts - 1,
        shared=shared, own=own, opinions=opinions, absent=absent, problems=state.get("problems", ()),
        reliability=told(deps.reliability, deps.engine.identity, state["case"], opinions, (*shared, *own)),
    )  # fmt: skip
    try:
        verdict = await ask(task, deps, share)
    except DecisionError as error:
        if "verdict" in state:  # the first answer stands; verification has marked what is wrong with it
            note = f"the attending could not mend its answer: {error}"
            return State(attempts=attempts, limitations={"attending": (note,)})
        return State(failure=f"the attending failed: {error}", attempts=attempts, shared=shared)
    conflicts = tuple(item.content for item in shared if item.name == "conflict")
    return State(
        verdict=verdict, attempts=attempts, shared=shared,
        limitations={"attending": verdict.limitations, "conflicts": conflicts},
    )  # fmt: skip
