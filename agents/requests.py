"""The three things an agent can ask for, each a decision of the journal: a reply, a tool's result, a look-up.

Budgets and deadlines are kept here; what to ask is the nodes' affair.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..core.canonical import digest
from ..core.case import Case
from ..core.errors import BudgetSpentError, ModelError
from ..core.journal import Journal, Outcome
from ..core.settings import Budget
from ..knowledge.store import Hit, Knowledge, Query
from ..tools.card import ToolOutput
from ..tools.imaging import ImageStore
from ..tools.registry import Toolbox
from .engines.protocol import Engine
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
        _check_budget(task, deps, tokens)
        try:
            async with asyncio.timeout(deps.budget.call_timeout_s):
                reply = await deps.engine.decide(task)
        except TimeoutError as error:
            raise ModelError(
                expected=f"a reply to {task.agent} within {deps.budget.call_timeout_s:g} s",
                got="none",
                fix="raise budget.call_timeout_s or use a faster engine",
            ) from error
        value = reply.value.model_dump(mode="json")
        return Outcome(result={"value": value, "reasoning": reply.reasoning}, usage=reply.usage)

    outcome = await deps.journal.decide(
        "chat", task.kind, chat_request(task), live, scope=task.agent, version=deps.engine.identity
    )
    try:
        return task.schema.model_validate(outcome.result["value"])
    except ValidationError as error:
        raise ModelError(
            expected=f"a {task.schema.__name__} from the engine",
            got=str(error).splitlines()[0],
            fix="replay with the version that recorded it",
        ) from error


async def use_tool(request: ToolRequest, case: Case, deps: Deps, *, scope: str) -> tuple[ToolOutput, str]:
    """The tool's output and the step that produced it. Raises ToolRefusedError or ToolBrokenError."""
    image = image_names(case).get(request.image)
    arguments = {**request.arguments, "image": image.blob if image else request.image}
    version = deps.toolbox.version(request.tool)

    async def live() -> Outcome:
        output = await _shared_run(request.tool, arguments, case, deps)
        return Outcome(result=output.model_dump(mode="json"), usage={})

    outcome = await deps.journal.decide(
        "tool", request.tool, {"arguments": arguments}, live, scope=scope, version=version
    )
    return deps.toolbox.get(request.tool).output.model_validate(outcome.result), outcome.span_id


async def look_up(query: Query, deps: Deps, *, scope: str) -> tuple[tuple[Hit, ...], str]:
    """What the store holds on `query`, best first, and the step that found it."""

    async def live() -> Outcome:
        hits = await asyncio.to_thread(deps.knowledge.search, query)
        return Outcome(result=[hit.model_dump(mode="json") for hit in hits], usage={})

    outcome = await deps.journal.decide(
        "retrieval", "search", query.model_dump(mode="json"), live, scope=scope, version=deps.knowledge.version
    )
    return tuple(Hit.model_validate(hit) for hit in outcome.result), outcome.span_id


def _check_budget(task: Task[Any], deps: Deps, tokens: int) -> None:
    """Raise BudgetSpentError when this call may not be made. The attending is always let through in time."""
    used = deps.journal.tokens(task.agent)
    if used >= tokens:
        raise BudgetSpentError(
            expected=f"{task.agent} to need fewer than {tokens} tokens", got=f"{used}", fix="raise budget.tokens"
        )
    spent, allowed = deps.journal.elapsed_s(), deps.budget.seconds * (1.0 - ATTENDING_SHARE)
    if task.kind != "attending" and spent > allowed:
        raise BudgetSpentError(
            expected=f"{task.agent} to be asked within {allowed:g} s of work on the case",
            got=f"{spent:.1f} s",
            fix="raise budget.seconds",
        )


async def _shared_run(name: str, arguments: dict[str, Any], case: Case, deps: Deps) -> ToolOutput:
    """Run a tool once for equal requests that are under way or done in this process."""
    key = digest([name, arguments])
    if key not in deps.running:
        by_blob = {image.blob: image for image in case.all_images() if image.blob}
        deps.running[key] = asyncio.ensure_future(deps.toolbox.run(name, arguments, by_blob, deps.images))
    return await asyncio.shield(deps.running[key])
