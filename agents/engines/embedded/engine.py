"""The embedded engine's door: which rule answers which task. It is not a language model and says so."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from ....core.errors import ModelError
from ...tasks import Task
from ..protocol import Engine, Reply
from .attending import weigh
from .specialist import consider
from .triage import choose

T = TypeVar("T", bound=BaseModel)


class EmbeddedEngine(Engine):
    """Deterministic: the same task gives the same answer, on every machine. Also the baseline of every benchmark."""

    identity = "embedded/5"
    caveat = (
        "The embedded engine is not a language model: it picks specialties by modality and terms, runs the tools their "
        "cards recommend, compares words with passages, applies diagnostic criteria, and writes from templates."
    )

    async def decide(self, task: Task[T]) -> Reply[T]:
        """The rule's answer. Raises ModelError for a schema no rule writes."""
        value = self._answer(task)
        if not isinstance(value, task.schema):
            raise ModelError(
                expected=f"a task whose schema the embedded engine writes, not {task.schema.__name__}",
                got=task.kind,
                fix="use a served model for this task",
            )
        return Reply(value=value)

    @staticmethod
    def _answer(task: Task[Any]) -> BaseModel:
        if task.kind == "triage":
            return choose(task)
        if task.kind == "specialist":
            return consider(task)
        return weigh(task)
