"""What an agent asks of an engine, and the shape each answer must have. It does not know who answers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, Field

from ..core.case import Case, Modality
from ..core.evidence import Evidence
from ..core.frozen import Frozen
from ..core.report import Dissent, Opinion, Urgency
from ..tools.card import ToolCard
from .budget import LARGEST_TEAM
from .roles import Role

if TYPE_CHECKING:
    from ..tools.imaging.store import ImageStore

TaskKind: TypeAlias = Literal["triage", "specialist", "attending"]
T = TypeVar("T", bound=BaseModel)


class ClaimDraft(Frozen):
    """A statement with the evidence ids it rests on; whether they support it is judged later, by code."""

    text: str = Field(min_length=1)
    evidence: tuple[str, ...] = ()


class Pick(Frozen):
    """A specialty that should see the case, and why."""

    reason: str
    specialty: str


class TriagePlan(Frozen):
    """Triage's answer: what the case is about, how pressing and hard it is, and who should see it."""

    reasoning: str
    modality: Modality | None = None
    urgency: Urgency
    difficulty: Literal["easy", "hard"]
    specialists: tuple[Pick, ...] = Field(min_length=1, max_length=LARGEST_TEAM)


class ToolRequest(Frozen):
    """A tool to run on an image of the case, named by the id it has in the prompt (`image-1`), or on none ("")."""

    tool: str
    image: str = ""
    arguments: dict[str, str | int | float | bool] = Field(default_factory=dict)


class SearchRequest(Frozen):
    """Something to look up in the store, in the domains of the asking role."""

    query: str = Field(min_length=1)


class Conclusion(Frozen):
    """What opinions and verdicts share: reasoning first, then the option or the abstention, then answer and grounds.

    The option stands before the answer in words, so that its probability does not only repeat what is written there.
    """

    reasoning: str
    abstains: bool = False
    option: str | None = None
    answer: str
    confidence: float | None = Field(default=None, ge=0, le=1)
    claims: tuple[ClaimDraft, ...] = ()
    differential: tuple[str, ...] = ()


class OpinionDraft(Conclusion):
    """A specialist's opinion as the engine words it."""

    would_change_my_mind: str = ""


class SpecialistTurn(Frozen):
    """One turn of a specialist: either requests (several at once), or the opinion."""

    reasoning: str
    tools: tuple[ToolRequest, ...] = Field(default=(), max_length=12)
    searches: tuple[SearchRequest, ...] = Field(default=(), max_length=6)
    opinion: OpinionDraft | None = None


class Verdict(Conclusion):
    """The attending's answer over all opinions, with the dissent that was overruled."""

    dissent: tuple[Dissent, ...] = ()
    limitations: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Faulty:
    """A reply that could not be used, as it came, and what is wrong with it: the model is shown both, once."""

    text: str
    problem: str


@dataclass(frozen=True, kw_only=True)
class Call:
    """How a task is put to an engine; none of it is part of what is recorded as asked.

    `seconds` is the deadline of one attempt, `total_s` that of all attempts together, outages not counted; `tokens` is
    what the agent may still use, and bounds the reply; `rank` the case's place in the queue (lower is served first);
    `images` where the pixels are.
    """

    seconds: float = math.inf
    total_s: float = math.inf
    tokens: int | None = None
    rank: int = 0
    images: ImageStore | None = None


@dataclass(frozen=True, kw_only=True)
class Task(Generic[T]):
    """One question to an engine.

    `shared` is the evidence every agent of the case sees; `own` is what this agent gathered. `shelf` are the tools
    recommended for the images of the case, `tools` those this agent may run. `reliability` are
    sentences on how often roles and tools were right before, for the attending. `problems` are what
    went wrong with an earlier answer: refused tool calls for a specialist, failed checks for the attending. On the
    `last` step a specialist must give its opinion. `step` counts this agent's turns from 0. `faulty` is this task's
    own first reply when it has to be asked again.
    """

    kind: TaskKind
    agent: str
    schema: type[T]
    case: Case
    step: int = 0
    last: bool = True
    roles: tuple[Role, ...] = ()
    role: Role | None = None
    shelf: tuple[ToolCard, ...] = ()
    tools: tuple[ToolCard, ...] = ()
    shared: tuple[Evidence, ...] = ()
    own: tuple[Evidence, ...] = ()
    opinions: tuple[Opinion, ...] = ()
    absent: dict[str, str] = field(default_factory=dict)
    reliability: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    faulty: Faulty | None = None
    call: Call = field(default=Call(), compare=False)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        return (*self.shared, *self.own)
