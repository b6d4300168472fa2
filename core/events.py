"""What can be watched while a case runs: one class per event. Nothing depends on an event being seen."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from .frozen import Frozen
from .report import Report


class NodeStarted(Frozen):
    """A node of the graph began; `agent` is the specialty when the node is a specialist."""

    type: Literal["node_started"] = "node_started"
    node: str
    agent: str = ""


class NodeFinished(Frozen):
    """A node of the graph ended."""

    type: Literal["node_finished"] = "node_finished"
    node: str
    agent: str = ""
    seconds: float


class DecisionStarted(Frozen):
    """Something is being asked of a model, a tool or the store."""

    type: Literal["decision_started"] = "decision_started"
    kind: str
    name: str
    agent: str


class DecisionMade(Frozen):
    """It was answered: `recorded` when the answer came from the trace, `failed` when the answer is an error."""

    type: Literal["decision_made"] = "decision_made"
    kind: str
    name: str
    agent: str
    seconds: float
    recorded: bool
    failed: bool


class Reported(Frozen):
    """The report is final and written."""

    type: Literal["reported"] = "reported"
    report: Report


Event: TypeAlias = Annotated[
    NodeStarted | NodeFinished | DecisionStarted | DecisionMade | Reported, Field(discriminator="type")
]
