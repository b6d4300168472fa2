"""The last node: what the graph found, put together as the report. It judges nothing."""

from __future__ import annotations

from ..core.case import Status
from ..core.report import Member, Report, TraceRef
from ..knowledge.patient.timelines import measured_changes
from .requests import Deps
from .state import State
from .verify import evidence_of


async def done(state: State, deps: Deps) -> State:
    """The report: answered, abstained, needs_human or failed. The clinic adds usage and trace."""
    if state.get("stop"):
        report = _report(state, deps, "needs_human", answer=f"A person must look at this first: {state['stop']}")
    elif state.get("failure"):
        report = _report(state, deps, "failed")
    elif not state["verdict"].abstains and _stray_option(state):
        chosen = f"the attending chose {state['verdict'].option!r}, which the case does not offer"
        report = _report(State(**{**state, "failure": chosen}), deps, "failed")
    else:
        report = _concluded(state, deps)
    return State(report=report)


def _stray_option(state: State) -> bool:
    return bool(state["case"].options) and state["verdict"].option not in state["case"].options


def _concluded(state: State, deps: Deps) -> Report:
    """An answer or an abstention, with claims, dissent and what verification could not get mended."""
    verdict = state["verdict"]
    base = _report(state, deps, "abstained" if verdict.abstains else "answered", answer=verdict.answer)
    marked = tuple(f"not mended after verification: {problem}" for problem in state["problems"])
    return base.model_copy(
        update={
            "option": None if verdict.abstains else verdict.option,
            "confidence": None if verdict.abstains else verdict.confidence,
            "claims": state["claims"],
            "differential": verdict.differential,
            "dissent": verdict.dissent,
            "limitations": (*base.limitations, *marked),
        }
    )


def _report(state: State, deps: Deps, status: Status, *, answer: str = "") -> Report:
    """Everything but the conclusion's own parts: who was asked, what was seen, what limits it."""
    plan = state.get("plan")
    picks = sorted(plan.specialists, key=lambda pick: pick.specialty) if plan else []
    return Report(
        case_id=state["case"].id,
        status=status,
        question=state["case"].question,
        answer=answer,
        urgency=state.get("urgency", "routine"),
        red_flags=state.get("red_flags", ()),
        team=tuple(Member(specialty=pick.specialty, reason=pick.reason) for pick in picks),
        changes=(*state.get("changes", ()), *measured_changes(state["case"], evidence_of(state).values())),
        limitations=_limitations(state, deps),
        evidence=tuple(evidence_of(state).values()),
        engine=deps.engine.identity,
        trace=TraceRef(path="", hash=""),
    )


def _limitations(state: State, deps: Deps) -> tuple[str, ...]:
    notes = [deps.engine.caveat] if deps.engine.caveat else []
    notes += [state["failure"]] if state.get("failure") else []
    notes += [note for _, agent_notes in sorted(deps.notes.items()) for note in agent_notes]
    notes += [note for agent_notes in state.get("limitations", {}).values() for note in agent_notes]
    notes += [f"{name} gave no opinion: {reason}" for name, reason in state.get("absent", {}).items()]
    return tuple(dict.fromkeys(notes))
