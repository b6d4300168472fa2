"""What the graph carries from node to node. It holds handles and small values, never pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypedDict, TypeVar

from ..core.case import Case
from ..core.errors import DecisionError
from ..core.evidence import Claim, Evidence
from ..core.report import Change, Opinion, Report, Urgency
from .tasks import TriagePlan, Verdict

V = TypeVar("V")


def merged(left: Mapping[str, V], right: Mapping[str, V]) -> dict[str, V]:
    """Both, in the order of their keys: whichever of two specialists ends first, the result is the same."""
    return dict(sorted({**left, **right}.items()))


class State(TypedDict, total=False):
    """One case on its way. What several specialists write is keyed by who wrote it.

    `stop` says why a person is needed; `failure` why there can be no answer; `absent` why a specialist gave none.
    """

    case: Case
    shared: tuple[Evidence, ...]
    urgency: Urgency
    red_flags: tuple[str, ...]
    changes: tuple[Change, ...]
    limitations: Annotated[dict[str, tuple[str, ...]], merged]
    stop: str
    failure: str
    plan: TriagePlan
    specialty: str
    own: Annotated[dict[str, tuple[Evidence, ...]], merged]
    opinions: Annotated[dict[str, Opinion], merged]
    absent: Annotated[dict[str, DecisionError], merged]
    verdict: Verdict
    claims: tuple[Claim, ...]
    problems: tuple[str, ...]
    attempts: int
    report: Report
