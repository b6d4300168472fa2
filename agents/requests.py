"""The three things an agent can ask for, each a decision of the journal: a reply, a tool's result, a look-up.

Budgets and deadlines are kept here; what to ask is the nodes' affair.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..core.canonical import digest
from ..core.case import Case, Image
from ..core.errors import (
    BudgetSpentError,
    DivergenceError,
    ModelError,
    PolyclinicError,
    ToolBrokenError,
    ToolRefusedError,
)
from ..core.journal import Journal, Outcome
from ..core.settings import Budget
from ..knowledge.store import Hit, Knowledge, Query
from ..tools.card import ToolOutput, ToolResult
from ..tools.imaging import ImageStore
from ..tools.registry import Toolbox
from .engines.protocol import Engine, Reply
from .prompts import chat_request, image_names
from .roles import Role
from .tasks import Task, ToolRequest

T = TypeVar("T", bound=BaseModel)

ATTENDING_SHARE = 0.25
"""Share of the case's seconds that only the attending may use, so that a late case is still finalised."""


@dataclass(frozen=True, kw_only=True)
class Deps:
    """What nodes work with. One per case; `running` shares equal tool calls between specialists."""

    journal: Journal
    engine: Engine
    toolbox: Toolbox
    images: ImageStore
    knowledge: Knowledge
    roles: tuple[Role, ...]
    budget: Budget
    running: dict[str, asyncio.Task[ToolOutput]] = field(default_factory=dict)


async def ask(task: Task[T], deps: Deps, *, tokens: int) -> T:
    """The engine's answer to `task`, while the agent has used fewer than `tokens`.

    Raises ModelError or BudgetSpentError, recorded like an answer.
    """

    async def live() -> Outcome:
        seconds = _seconds_left(task, deps, tokens)
        try:
            async with asyncio.timeout(seconds):
                reply = await deps.engine.decide(task)
            return _outcome(reply, task)
        except TimeoutError as error:
            cut_short = seconds < deps.budget.call_timeout_s
            kind, limit = (BudgetSpentError, "seconds") if cut_short else (ModelError, "call_timeout_s")
            raise kind(
                expected=f"a reply to {task.agent} within {seconds:.3g} s",
                got="none",
                fix=f"raise budget.{limit} or use a faster engine",
            ) from error
        except PolyclinicError:
            raise
        except Exception as error:  # the border to an engine: whatever it raises is its failure, on record
            raise ModelError(
                expected=f"a reply to {task.agent}", got=f"{type(error).__name__}: {error}", fix="mend the engine"
            ) from error

    outcome = await deps.journal.decide(
        "chat", task.kind, chat_request(task), live, scope=task.agent, version=deps.engine.identity
    )
    try:
        return task.schema.model_validate(outcome.result["value"])
    except ValidationError as error:
        raise DivergenceError(
            expected=f"a {task.schema.__name__} of this version in the trace",
            got=str(error).splitlines()[0],
            fix="replay with the version that recorded it",
        ) from error


def _outcome(reply: Reply[Any], task: Task[Any]) -> Outcome:
    """The reply as it is recorded. Raises ModelError for a value of another schema."""
    if not isinstance(reply.value, task.schema):
        raise ModelError(
            expected=f"a {task.schema.__name__} for {task.agent}",
            got=f"a {type(reply.value).__name__}",
            fix="mend the engine",
        )
    usage = {str(name): int(count) for name, count in reply.usage.items()}
    return Outcome(result={"value": reply.value.model_dump(mode="json"), "reasoning": reply.reasoning}, usage=usage)


async def use_tool(request: ToolRequest, case: Case, deps: Deps, *, scope: str) -> tuple[ToolResult, str]:
    """The tool's result and the step that produced it. Raises ToolRefusedError or ToolBrokenError."""
    version = deps.toolbox.version(request.tool)
    images = image_names(case)
    blob = images[request.image].blob if request.image in images else None

    async def live() -> Outcome:
        if request.image not in images:
            raise ToolRefusedError(
                expected=f"an image of this case: {', '.join(images) or 'it has none'}",
                got=repr(request.image[:80]),
                fix="name one of them",
            )
        output = await _shared_run(request, images[request.image], deps)
        return Outcome(result=ToolResult.of(output).model_dump(mode="json"), usage={})

    asked = {"image": request.image, "blob": blob, "arguments": request.arguments}
    outcome = await deps.journal.decide("tool", request.tool, asked, live, scope=scope, version=version)
    return ToolResult.model_validate(outcome.result), outcome.span_id


async def look_up(query: Query, deps: Deps, *, scope: str) -> tuple[tuple[Hit, ...], str]:
    """What the store holds on `query`, best first, and the step that found it. Raises ToolBrokenError."""

    async def live() -> Outcome:
        try:
            async with asyncio.timeout(deps.budget.call_timeout_s):
                hits = await asyncio.to_thread(deps.knowledge.search, query)
            return Outcome(result=[hit.model_dump(mode="json") for hit in hits], usage={})
        except PolyclinicError:
            raise
        except Exception as error:  # the border to a store: whatever it raises is its failure, on record
            raise ToolBrokenError(
                expected="hits from the store", got=f"{type(error).__name__}: {error}", fix="mend the store"
            ) from error

    outcome = await deps.journal.decide(
        "retrieval", "search", query.model_dump(mode="json"), live, scope=scope, version=deps.knowledge.version
    )
    return tuple(Hit.model_validate(hit) for hit in outcome.result), outcome.span_id


def _seconds_left(task: Task[Any], deps: Deps, tokens: int) -> float:
    """How long this call may take. Raises BudgetSpentError when it may not be made; the attending always may."""
    used = deps.journal.tokens(task.agent)
    if used >= tokens:
        raise BudgetSpentError(
            expected=f"{task.agent} to need fewer than {tokens} tokens", got=f"{used}", fix="raise budget.tokens"
        )
    if task.kind == "attending":
        return deps.budget.call_timeout_s
    spent, allowed = deps.journal.elapsed_s(), deps.budget.seconds * (1.0 - ATTENDING_SHARE)
    if spent >= allowed:
        raise BudgetSpentError(
            expected=f"{task.agent} to be asked within {allowed:g} s of work on the case",
            got=f"{spent:.1f} s",
            fix="raise budget.seconds",
        )
    return min(deps.budget.call_timeout_s, allowed - spent)


async def _shared_run(request: ToolRequest, image: Image, deps: Deps) -> ToolOutput:
    """Run a tool once for equal requests that are under way or done in this process."""
    key = digest([request.tool, request.arguments, image.model_dump(mode="json")])
    if key not in deps.running:
        arguments = {**request.arguments, "image": image.blob}
        named = {image.blob: image} if image.blob else {}
        deps.running[key] = asyncio.ensure_future(deps.toolbox.run(request.tool, arguments, named, deps.images))
    return await asyncio.shield(deps.running[key])
