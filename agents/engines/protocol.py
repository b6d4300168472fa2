"""The port behind which answers come from: a task goes in, a value of its schema comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

from ..tasks import Task

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Reply(Generic[T]):
    """What an engine answered: the value, the tokens it cost, and the model's own reasoning where it is kept."""

    value: T
    usage: dict[str, int] = field(default_factory=dict)
    reasoning: str = ""


class Engine(Protocol):
    """Answers tasks.

    `identity` names engine, version and model, and is stamped on every decision; `caveat` is a sentence that every
    report of this engine carries (empty for none).
    """

    @property
    def identity(self) -> str: ...

    @property
    def caveat(self) -> str: ...

    async def decide(self, task: Task[T]) -> Reply[T]:
        """A value of `task.schema`. Raises ModelError when none can be had; never returns a guess in its place."""
        ...
