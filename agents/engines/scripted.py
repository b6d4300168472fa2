"""An engine that says what it was told to: the test double, shipped because users' tests need it too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel

from ...core.errors import ModelError
from ..tasks import Task
from .protocol import Engine, Reply

T = TypeVar("T", bound=BaseModel)
Line: TypeAlias = BaseModel | Exception | Callable[[Task[Any]], BaseModel]


class ScriptedEngine(Engine):
    """Answers agent `a`'s step `n` with `script[a][n]`: a value, an exception to raise, or a function of the task.

    Keyed by step and not by call order, so that a resumed run gets the same lines. `latency_s` is slept per call.
    `asked` lists (agent, step) of the calls that really reached the engine.
    """

    caveat = "The answers come from a script: this is a test."

    def __init__(
        self, script: Mapping[str, Sequence[Line]], *, latency_s: float = 0.0, identity: str = "scripted/1"
    ) -> None:
        self.script = script
        self.latency_s = latency_s
        self.identity = identity
        self.asked: list[tuple[str, int]] = []

    async def decide(self, task: Task[T]) -> Reply[T]:
        """The scripted value. Raises ModelError when the script has none, or one of another schema."""
        self.asked.append((task.agent, task.step))
        await asyncio.sleep(self.latency_s)
        lines = self.script.get(task.agent, ())
        if task.step >= len(lines):
            raise ModelError(
                expected=f"a scripted line for {task.agent}, step {task.step}",
                got=f"{len(lines)} lines for {task.agent}",
                fix="add the line to the script",
            )
        line = lines[task.step]
        if isinstance(line, Exception):
            raise line
        value = line if isinstance(line, BaseModel) else line(task)
        if not isinstance(value, task.schema):
            raise ModelError(
                expected=f"a {task.schema.__name__} for {task.agent}, step {task.step}",
                got=type(value).__name__,
                fix="mend the script",
            )
        return Reply(value=value)
