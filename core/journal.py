"""The one seam through which a run learns anything: decide, write down, then use. It does not know what is decided.

Everything else is a pure function of the decisions, so running the same case on its journal again resumes it, and
running it with live calls forbidden replays it.
"""

from __future__ import annotations

import difflib
import json
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from .canonical import Json, digest, sha256
from .errors import BudgetSpentError, DecisionError, DivergenceError, TraceError
from .events import DecisionMade, DecisionStarted, Event, NodeFinished, NodeStarted
from .report import AgentUsage, Report, Usage
from .trace import Kind, Record, TraceFile

ROOT_SPAN = sha256(b"case")[:16]
DECISIONS: frozenset[Kind] = frozenset({"chat", "tool", "retrieval", "clock"})
_span: ContextVar[str] = ContextVar("span", default=ROOT_SPAN)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a live call came back with: the JSON result, tokens used, and the step of the trace it became."""

    result: Json
    usage: dict[str, int]
    span_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One request and its content key: kind, name, version, scope, canonical request, and the how-many-eth time."""

    kind: Kind
    name: str
    version: str
    scope: str
    request: Json
    n: int
    loose_key: str

    @property
    def key(self) -> str:
        return sha256(f"{self.loose_key}:{self.version}".encode())

    @property
    def span_id(self) -> str:
        return self.key[:16]


class Journal:
    """The decisions of one case.

    With a `file` it is live: what is not yet recorded is done and appended. Without, it replays `records` and raises
    DivergenceError at the first request they do not hold. A fork's first decisions came from
    another run: they match whatever model or tool version asks, as long as the request is the same.
    """

    def __init__(
        self,
        records: Sequence[Record],
        *,
        file: TraceFile | None = None,
        listener: Callable[[Event], None] | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        if not records or records[0].kind != "run":
            raise TraceError(
                expected="a trace that opens with its case",
                got=f"{len(records)} records and no case",
                fix="name a trace written by polyclinic ask",
            )
        self.header = records[0]
        self._file, self._clock, self._listener = file, clock, listener
        self._recorded = {record.key: record for record in records if record.key}
        self._closing = records[-1] if records[-1].kind == "report" else None
        self._head = self._closing.prev if self._closing else records[-1].hash
        decisions = [record for record in records if record.kind in DECISIONS]
        inherited = decisions[: int((self.header.request.get("forked_from") or {}).get("steps", 0))]
        self._inherited = {_loose_key(record): record for record in inherited}
        self._asked: Counter[str] = Counter()
        self._used: dict[str, Record] = {}
        self._session_start = clock()
        self._carried_s = _seconds_worked(records)
        if file is not None and len(file.records) > 1:
            self._append("resume", "resume", result={"torn_bytes": file.torn_bytes})

    @property
    def live(self) -> bool:
        return self._file is not None

    @property
    def head(self) -> str:
        """Hash of the last record before the report: what a report is sealed with."""
        return self._file.head if self._file else self._head

    def elapsed_s(self) -> float:
        """Seconds this case has been worked on, all its sessions together, not counting the time between them."""
        return self._carried_s + (self._clock() - self._session_start) / 1e9

    async def decide(
        self,
        kind: Kind,
        name: str,
        request: Json,
        do: Callable[[], Awaitable[Outcome]],
        *,
        scope: str,
        version: str = "",
    ) -> Outcome:
        """The recorded outcome of this request or, when there is none, that of `do()`, recorded before it is used.

        Raises the recorded DecisionError when the outcome was one. In a replay, raises DivergenceError for a
        request that the trace does not hold.
        """
        question = self._question(kind, name, version, scope, request)
        record = self._recorded.get(question.key) or self._inherited.get(question.loose_key)
        recorded = record is not None
        if record is None:
            if not self.live or self._leaves_fork(question):
                raise self._diverged(question)
            self._emit(DecisionStarted(kind=kind, name=name, agent=scope))
            record = await self._live(question, do)
        self._used[record.key] = record
        self._emit(
            DecisionMade(
                kind=kind, name=name, agent=scope, seconds=record.seconds, recorded=recorded, failed=bool(record.error)
            )
        )
        if record.error is not None:
            raise DecisionError.from_record(record.error)
        return Outcome(result=record.result, usage=record.usage, span_id=record.span_id)

    async def now(self, scope: str) -> str:
        """The wall-clock time as a decision: ISO 8601, UTC, whole seconds."""

        async def read() -> Outcome:
            moment = time.gmtime(self._clock() // 1_000_000_000)
            return Outcome(result=time.strftime("%Y-%m-%dT%H:%M:%SZ", moment), usage={})

        return str((await self.decide("clock", "now", {}, read, scope=scope)).result)

    @asynccontextmanager
    async def node(self, name: str, scope: str = "") -> AsyncIterator[None]:
        """A span of the graph; decisions made inside become its children. Written when it ends, once."""
        question = self._question("node", name, "", scope, {})
        parent, start = _span.get(), self._clock()
        token = _span.set(question.span_id)
        self._emit(NodeStarted(node=name, agent=scope))
        try:
            yield
        finally:
            _span.reset(token)
        if question.key not in self._recorded and self.live:
            record = self._append(
                "node", name, question=question, parent_id=parent, start_ns=start, end_ns=self._clock(), later=True
            )
            self._recorded[question.key] = record
        known = self._recorded.get(question.key)
        self._emit(NodeFinished(node=name, agent=scope, seconds=known.seconds if known else 0.0))

    def close_with(self, report: Report) -> None:
        """Seal the run with its report; in a replay, check that it is the recorded one, byte for byte."""
        body = report.model_dump(mode="json")
        if self._file is not None:
            self._append("report", report.status, result=body, durable=True)
        elif self._closing is None:
            raise TraceError(
                expected="a finished trace",
                got="one that stops before its report",
                fix="ask the same case again to finish it, then replay",
            )
        elif self._closing.result != body:
            raise DivergenceError(
                expected="the recorded report",
                got="a report that differs:\n" + _difference(self._closing.result, body),
                fix="replay with the version that recorded it",
            )

    def tokens(self, scope: str) -> int:
        """Tokens that `scope`'s decisions have used so far."""
        mine = (record.usage for record in self._used.values() if record.scope == scope)
        return sum(usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0) for usage in mine)

    def chats(self, scope: str) -> int:
        """How often `scope` has asked a model so far."""
        return sum(_was_asked(record) and record.scope == scope for record in self._used.values())

    def usage(self) -> Usage:
        """What the decisions used so far cost, per agent in alphabetical order and together."""
        used = [record for record in self._used.values() if record.kind != "clock"]
        scopes = sorted({record.scope for record in used})
        agents = {scope: _sum([record for record in used if record.scope == scope]) for scope in scopes}
        return Usage(total=_sum(used), agents=agents)

    def _question(self, kind: Kind, name: str, version: str, scope: str, request: Json) -> Question:
        base = digest([kind, name, scope, request])
        n = self._asked[base]
        self._asked[base] += 1
        loose = sha256(f"{base}:{n}".encode())
        return Question(kind=kind, name=name, version=version, scope=scope, request=request, n=n, loose_key=loose)

    def _leaves_fork(self, question: Question) -> bool:
        """Whether an agent says something else than it did in the part that a fork took over.

        Only chat is judged: an agent's turns come one after the other, so a turn that was taken over and is still
        unused must be the one asked for now. Tools and look-ups of one turn come in any order.
        """
        return question.kind == "chat" and any(
            record.kind == "chat" and record.scope == question.scope and record.key not in self._used
            for record in self._inherited.values()
        )

    async def _live(self, question: Question, do: Callable[[], Awaitable[Outcome]]) -> Record:
        start = self._clock()
        fields: dict[str, Any]
        try:
            outcome = await do()
            fields = {"result": outcome.result, "usage": outcome.usage}
        except DecisionError as error:
            fields = {"error": error.as_record()}
        record = self._append(
            question.kind, question.name, question=question, parent_id=_span.get(), start_ns=start,
            end_ns=self._clock(), **fields,
        )  # fmt: skip
        self._recorded[question.key] = record
        return record

    def _append(self, kind: Kind, name: str, *, question: Question | None = None, **fields: Any) -> Record:
        assert self._file is not None
        if question is not None:
            fields |= {
                "version": question.version, "scope": question.scope, "n": question.n, "key": question.key,
                "span_id": question.span_id, "request": question.request,
            }  # fmt: skip
        now = self._clock()
        defaults: dict[str, Any] = {
            "start_ns": now,
            "end_ns": now,
            "span_id": ROOT_SPAN,
            "trace_id": self.header.trace_id,
        }
        return self._file.append(kind=kind, name=name, **(defaults | fields))

    def _emit(self, event: Event) -> None:
        if self._listener is not None:
            self._listener(event)

    def _diverged(self, question: Question) -> DivergenceError:
        """Name the recorded step that stands where this request was expected, and show both."""
        same = [
            record
            for record in self._recorded.values()
            if (record.kind, record.name, record.scope) == (question.kind, question.name, question.scope)
            and record.key not in self._used
        ]
        who = f"{question.kind} {question.name!r} by {question.scope}"
        if not same:
            return DivergenceError(
                expected=f"no more steps of {question.scope}" if self._closing else f"a recorded step for {who}",
                got=f"{who}, which the trace does not hold, with the request\n{_pretty(question.request)}",
                fix="replay with the version that recorded it"
                if self._closing
                else "ask the same case again to finish the run, then replay",
            )
        record = min(same, key=lambda record: record.seq)
        recorded = {"version": record.version, "request": record.request}
        asked = {"version": question.version, "request": question.request}
        return DivergenceError(
            expected=f"step {record.seq} ({who}) as recorded",
            got="another request:\n" + _difference(recorded, asked),
            fix=f"fork before step {record.seq} with --fork-at, or replay with the version that recorded it",
        )


def _loose_key(record: Record) -> str:
    base = digest([record.kind, record.name, record.scope, record.request])
    return sha256(f"{base}:{record.n}".encode())


def _seconds_worked(records: Sequence[Record]) -> float:
    """Seconds of work in the sessions already recorded: each runs from its opening record to its last."""
    total, start, end = 0, records[0].start_ns, records[0].end_ns
    for record in records[1:]:
        if record.kind == "resume":
            total += end - start
            start = end = record.start_ns
        end = max(end, record.end_ns)
    return (total + end - start) / 1e9


def _sum(records: Sequence[Record]) -> AgentUsage:
    """What decisions cost together; exact sums, so that their order does not matter."""
    return AgentUsage(
        chat_calls=sum(map(_was_asked, records)),
        tool_calls=sum(record.kind != "chat" for record in records),
        prompt_tokens=sum(record.usage.get("prompt_tokens", 0) for record in records),
        completion_tokens=sum(record.usage.get("completion_tokens", 0) for record in records),
        seconds=round(math.fsum(record.seconds for record in records), 6),
    )


def _was_asked(record: Record) -> bool:
    """Whether a model was asked: a call that the budget refused was not."""
    refused = record.error is not None and record.error["type"] == BudgetSpentError.__name__
    return record.kind == "chat" and not refused


def _pretty(value: Json) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)


def _difference(recorded: Json, asked: Json) -> str:
    lines = difflib.unified_diff(
        _pretty(recorded).splitlines(), _pretty(asked).splitlines(), "recorded", "asked now", lineterm="", n=1
    )
    return "\n".join(lines)
