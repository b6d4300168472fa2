"""The port behind which answers come from: a task goes in, a value of its schema comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pydantic import BaseModel

from ...core.canonical import Json
from ..tasks import Faulty, Task

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Reply(Generic[T]):
    """What an engine answered, as it is recorded.

    Either `value`, or what was `faulty` about the reply: the task is then asked once more. `usage` counts the tokens,
    `reasoning` is the model's own where it is kept apart, `notes` are limitations for the report, `details` whatever
    else the trace should tell: model, sampling, probabilities, attempts.
    """

    value: T | None = None
    faulty: Faulty | None = None
    usage: dict[str, int] = field(default_factory=dict)
    reasoning: str = ""
    notes: tuple[str, ...] = ()
    details: Json = None


class Engine(ABC):
    """Answers tasks.

    `identity` names engine, version and model, and is stamped on every decision; `caveat` is a sentence that every
    report of this engine carries (empty for none); `settings` is whatever else could change its answers: it is part of
    what makes two runs the same.
    """

    identity: str
    caveat: str = ""
    settings: Json = None
    keeps_deadlines = False
    """Whether `decide` itself ends an attempt after `task.call.seconds`; other engines are cut off by the caller."""
    cases_at_once: int | None = None
    """How many cases are worked on at a time; the others wait for their turn, in the order they came (None: all)."""
    paused_s: float = 0.0
    """Seconds so far in which nothing could be asked because of an outage; they do not count against a case."""

    async def prepare(self) -> None:  # noqa: B027 - most engines have nothing to prepare
        """Called before a case is asked. Raises SetupError when the engine cannot be used at all."""

    @abstractmethod
    async def decide(self, task: Task[T]) -> Reply[T]:
        """A value of `task.schema`. Raises ModelError when none can be had; never returns a guess in its place."""
