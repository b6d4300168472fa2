"""The picture, as code: intake → triage → specialists → attending (or a vote) → verify → done. It only wires.

The one door to LangGraph.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send
from langsmith import tracing_context

from ..core.report import Report
from ..core.settings import Arrangement
from .attending import attending
from .done import done
from .intake import intake
from .requests import Deps
from .specialist import specialist
from .state import State
from .triage import team, triage
from .verify import verify
from .vote import vote

Node: TypeAlias = Callable[[State, Deps], Awaitable[State]]


async def run_graph(state: State, deps: Deps) -> Report:
    """Take a case through the whole graph. Nothing is sent to any tracing service, whatever the environment says."""
    with tracing_context(enabled=False):
        final = await build_graph(deps.arrangement).ainvoke(state, context=deps)
    report: Report = final["report"]
    return report


@functools.cache
def build_graph(arrangement: Arrangement = "team") -> Any:
    """The compiled state machine. Where there is no attending, a vote stands in its place and is asked nothing twice;
    a single agent is a team of one (see `roles_of`)."""
    graph: Any = StateGraph(State, context_schema=Deps)
    decide = attending if arrangement == "team" else vote
    for node in (intake, triage, specialist, decide, verify, done):
        graph.add_node(node.__name__, _recorded(node))

    graph.add_edge(START, "intake")
    graph.add_conditional_edges("intake", after_intake, ["triage", "done"])
    graph.add_conditional_edges("triage", to_specialists, ["specialist", "done"])
    graph.add_edge("specialist", decide.__name__)  # the panel's place: between these two, when opinions disagree
    graph.add_edge(decide.__name__, "verify")
    if decide is attending:
        graph.add_conditional_edges("verify", after_verify, ["attending", "done"])
    else:
        graph.add_edge("verify", "done")
    graph.add_edge("done", END)
    return graph.compile()


def after_intake(state: State) -> str:
    """A case that a person must look at first goes no further."""
    return "done" if state.get("stop") else "triage"


def to_specialists(state: State) -> list[Send] | str:
    """All specialists of the plan at the same time, each with the case and the evidence everyone shares."""
    if state.get("failure"):
        return "done"
    shared = {key: state[key] for key in ("case", "shared", "plan") if key in state}
    return [Send("specialist", {**shared, "specialty": name}) for name in team(state)]


def after_verify(state: State) -> str:
    """Problems go back to the attending once; what remains then is marked in the report."""
    return "attending" if state.get("problems") and state["attempts"] < 2 else "done"


def _recorded(node: Node) -> Callable[[State, Runtime[Deps]], Awaitable[State]]:
    """`node` as LangGraph calls it, inside a span of the trace."""
    name = node.__name__

    async def run(state: State, runtime: Runtime[Deps]) -> State:
        async with runtime.context.journal.node(name, state.get("specialty", "")):
            return await node(state, runtime.context)

    return run
