"""An engine that answers from a recorded trace: the same request gets the recorded reply, anything else is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel

from ...core.canonical import digest
from ...core.errors import DecisionError, DivergenceError
from ...core.trace import Record
from ..prompts import chat_request
from ..tasks import Faulty, Task
from .protocol import Engine, Reply

T = TypeVar("T", bound=BaseModel)


class ReplayEngine(Engine):
    """Answers with the chat decisions among `records`, found by agent and request. Speaks as the engine recorded."""

    def __init__(self, records: Sequence[Record]) -> None:
        config = records[0].request["config"]
        self.identity = config["engine"]
        self.caveat = config["caveat"]
        self._replies = {
            digest([record.scope, record.request]): record for record in reversed(records) if record.kind == "chat"
        }

    async def decide(self, task: Task[T]) -> Reply[T]:
        """The recorded reply. Raises the recorded error, or DivergenceError when this was never asked."""
        record = self._replies.get(digest([task.agent, chat_request(task)]))
        if record is None:
            raise DivergenceError(
                expected="a request that the trace holds",
                got=f"a new one by {task.agent} at step {task.step}",
                fix="use a live engine, or the version that recorded the trace",
            )
        if record.error is not None:
            raise DecisionError.from_record(record.error)
        value, faulty = record.result["value"], record.result.get("faulty")
        return Reply(
            value=None if value is None else task.schema.model_validate(value),
            faulty=Faulty(**faulty) if faulty else None,
            usage=dict(record.usage),
        )
