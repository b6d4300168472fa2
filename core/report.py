"""What goes out: the opinions of the specialists and the report made of them. It does not decide anything."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from .case import Status
from .evidence import Claim, Evidence
from .frozen import Frozen

Urgency: TypeAlias = Literal["routine", "urgent", "emergency"]
Course: TypeAlias = Literal["new", "worse", "stable", "better", "resolved", "increased", "decreased"]

NOTICE = "Research software, not a medical device: do not use it to diagnose or treat anyone."


class Opinion(Frozen):
    """What one specialist concludes. `confidence` is in [0, 1] or not known; `abstains`: no answer is supported."""

    specialty: str
    answer: str
    option: str | None = None
    confidence: float | None = Field(default=None, ge=0, le=1)
    abstains: bool = False
    claims: tuple[Claim, ...] = ()
    differential: tuple[str, ...] = ()
    would_change_my_mind: str = ""


class Dissent(Frozen):
    """A view that was not followed: whose, what, and why it was overruled."""

    specialty: str
    answer: str
    why_overruled: str


class Member(Frozen):
    """A specialist who was called, and why."""

    specialty: str
    reason: str


class Change(Frozen):
    """How one finding moved between two visits, or between two images of different dates.

    `increased` and `decreased` say nothing of better or worse: they are all that can be said of a measured value whose
    healthy range is not known.
    """

    finding: str
    course: Course
    detail: str
    evidence: tuple[str, ...] = ()


class AgentUsage(Frozen):
    """What one agent cost: model calls, tool and retrieval calls, tokens, and seconds spent waiting for them."""

    chat_calls: int = 0
    tool_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


class Usage(Frozen):
    """What the case cost, per agent and together."""

    total: AgentUsage = AgentUsage()
    agents: dict[str, AgentUsage] = Field(default_factory=dict)


class TraceRef(Frozen):
    """The trace this report was made with: its file, and the hash of its last record before the report."""

    path: str
    hash: str


class Report(Frozen):
    """The answer to a case, with everything needed to check it.

    `failed` carries the reason in `limitations` and never an answer; `needs_human` says what a person must do.
    """

    case_id: str
    status: Status
    question: str
    answer: str
    option: str | None = None
    confidence: float | None = Field(default=None, ge=0, le=1)
    urgency: Urgency = "routine"
    red_flags: tuple[str, ...] = ()
    team: tuple[Member, ...] = ()
    claims: tuple[Claim, ...] = ()
    differential: tuple[str, ...] = ()
    dissent: tuple[Dissent, ...] = ()
    changes: tuple[Change, ...] = ()
    limitations: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    usage: Usage = Usage()
    engine: str
    trace: TraceRef
    notice: str = NOTICE
