"""The three things an agent can ask for, each a decision of the journal: a reply, a tool's result, a look-up.

Budgets and deadlines are kept here; what to ask is the nodes' affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..core.canonical import Json, digest
from ..core.case import Case, Image
from ..core.errors import (
    BudgetSpentError,
    DecisionError,
    DivergenceError,
    ModelError,
    PolyclinicError,
    ToolBrokenError,
    ToolRefusedError,
    TraceError,
)
from ..core.journal import Journal, Outcome
from ..core.settings import Arrangement, Budget
from ..knowledge.store import Hit, Knowledge, Query
from ..tools.card import ToolCard, ToolOutput, ToolResult
from ..tools.imaging.store import ImageStore
from ..tools.pictures import as_picture
from ..tools.registry import Toolbox
from .budget import Allotment
from .engines.protocol import Engine, Reply
from .prompts import chat_request, image_names
from .reliability import Reliability
from .roles import Role
from .shelf import shelf
from .tasks import Call, Faulty, Task, ToolRequest

T = TypeVar("T", bound=BaseModel)

ATTENDING_SHARE = 0.25
"""Share of the case's seconds that only the attending may use, so that a late case is still finalised."""


@dataclass(frozen=True, kw_only=True)
class Deps:
    """What nodes work with. One per case.

    `rank` is the case's place among those this process works on: lower is served first; `paused_before_s` the engine's
    outages before this case. `running` shares equal tool
    calls between specialists; `notes` are what engines said of their replies, by agent, for the report.
    """

    journal: Journal
    engine: Engine
    toolbox: Toolbox
    images: ImageStore
    knowledge: Knowledge
    roles: tuple[Role, ...]
    budget: Budget
    arrangement: Arrangement = "team"
    reliability: Reliability | None = None
    rank: int = 0
    paused_before_s: float = 0.0
    running: dict[str, asyncio.Task[ToolOutput]] = field(default_factory=dict)
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def calls_left(self, agent: str, share: Allotment) -> int:
        """How often `agent` may still be asked."""
        return share.calls_of(agent) - self.journal.chats(agent)


async def ask(task: Task[T], deps: Deps, share: Allotment) -> T:
    """The engine's answer to `task`, within the agent's share of calls and tokens.

    A reply that cannot be used is shown to the model once, with what is wrong with it. Raises ModelError or
    BudgetSpentError, recorded like an answer.
    """
    task = replace(task, shelf=shelf(task.case, deps.toolbox))
    result = await _decided(task, deps, share)
    if result["value"] is None and deps.calls_left(task.agent, share) > 0:
        task = replace(task, faulty=Faulty(**result["faulty"]))
        result = await _decided(task, deps, share)
    if result["value"] is None:
        raise ModelError(
            expected=f"a valid {task.schema.__name__} from {task.agent}" + (", asked twice" if task.faulty else ""),
            got=result["faulty"]["problem"],
            fix="raise sampling.max_tokens, or bound texts with sampling.max_chars"
            if "cut off" in result["faulty"]["problem"]
            else "use a model that follows a schema: type polyclinic models check URL",
        )
    if result["notes"]:
        deps.notes[task.agent] = tuple(dict.fromkeys((*deps.notes.get(task.agent, ()), *result["notes"])))
    try:
        return task.schema.model_validate(result["value"])
    except ValidationError as error:
        raise DivergenceError(
            expected=f"a {task.schema.__name__} of this version in the trace",
            got=str(error).splitlines()[0],
            fix="replay with the version that recorded it",
        ) from error


async def _decided(task: Task[Any], deps: Deps, share: Allotment) -> Json:
    """What is recorded of one reply: its value or what is faulty about it, reasoning, notes and details."""

    async def live() -> Outcome:
        seconds = _seconds_left(task, deps, share)
        call = Call(
            seconds=min(seconds, deps.budget.call_timeout_s), total_s=seconds, rank=deps.rank, images=deps.images,
            tokens=share.tokens - deps.journal.tokens(task.agent),
        )  # fmt: skip
        seconds = call.seconds
        try:
            async with asyncio.timeout(None if deps.engine.keeps_deadlines else seconds):
                reply = await deps.engine.decide(replace(task, call=call))
            return _outcome(reply, task)
        except TimeoutError as error:
            cut_short = seconds < deps.budget.call_timeout_s
            kind, limit = (BudgetSpentError, "seconds") if cut_short else (ModelError, "call_timeout_s")
            raise kind(
                expected=f"a reply to {task.agent} within {seconds:.3g} s",
                got="none",
                fix=f"raise budget.{limit} or use a faster engine",
                cause="late",
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
    return outcome.result


def _outcome(reply: Reply[Any], task: Task[Any]) -> Outcome:
    """The reply as it is recorded. Raises ModelError for a value of another schema."""
    value = reply.value
    if reply.faulty is None and not isinstance(reply.value, task.schema):
        raise ModelError(
            expected=f"a {task.schema.__name__} for {task.agent}",
            got=f"a {type(reply.value).__name__}",
            fix="mend the engine",
        )
    usage = {str(name): int(count) for name, count in reply.usage.items()}
    result = {
        "value": None if reply.faulty or value is None else value.model_dump(mode="json"),
        "faulty": asdict(reply.faulty) if reply.faulty else None,
        "reasoning": reply.reasoning,
        "notes": list(reply.notes),
        "details": reply.details,
    }
    return Outcome(result=result, usage=usage)


async def use_tool(request: ToolRequest, case: Case, deps: Deps, *, scope: str) -> tuple[ToolResult, str]:
    """The tool's result and the step that produced it. Raises ToolRefusedError or ToolBrokenError.

    A tool that looks at no image is given none, whatever image the request names.
    """
    version = deps.toolbox.version(request.tool)
    card = deps.toolbox.get(request.tool).card
    names = image_names(case)
    images = {name: names.get(asked) for name, asked in _named_images(request, card).items()}

    async def live() -> Outcome:
        output = await _shared_run(request, _found(images, request, names), deps)
        return Outcome(result=ToolResult.of(output).model_dump(mode="json"), usage={})

    image, earlier = images.get("image"), images.get("earlier")
    asked: dict[str, Json] = {
        "image": request.image, "blob": image.blob if image else None, "arguments": request.arguments
    }  # fmt: skip
    if earlier is not None:
        asked["earlier"] = earlier.blob
    outcome = await deps.journal.decide("tool", request.tool, asked, live, scope=scope, version=version)
    return ToolResult.model_validate(outcome.result), outcome.span_id


def _named_images(request: ToolRequest, card: ToolCard) -> dict[str, str]:
    """The images a request names, by the argument they are for: as the case calls them, not checked."""
    if not card.looks:
        return {}
    if "earlier" not in card.arguments:  # see ComparedImagesArguments
        return {"image": request.image}
    return {"image": request.image, "earlier": str(request.arguments.get("earlier", ""))}


def _found(images: Mapping[str, Image | None], request: ToolRequest, names: Iterable[str]) -> dict[str, Image]:
    """The images that were named. Raises ToolRefusedError for one the case does not have, and for the same twice."""
    found = {name: image for name, image in images.items() if image is not None}
    unknown = next((name for name in images if name not in found), None)
    given = str(request.image if unknown == "image" else request.arguments.get("earlier", "none"))
    if unknown is not None:
        raise ToolRefusedError(
            expected=f"an image of this case{' as earlier' if unknown == 'earlier' else ''}: "
            + (", ".join(names) or "it has none"),
            got=repr(given[:80]),
            fix="name one of them",
        )
    if "earlier" in found and found["earlier"].blob == found["image"].blob:
        raise ToolRefusedError(
            expected="two different images to compare", got=f"{request.image} twice", fix="name an earlier one"
        )
    return found


async def look_up(query: Query, deps: Deps, *, scope: str) -> tuple[tuple[Hit, ...], str]:
    """What the store holds on `query`, best first, and the step that found it. Raises ToolBrokenError."""

    def search() -> tuple[Hit, ...]:
        picture = None if query.image is None else as_picture(deps.images.open(query.image))
        return deps.knowledge.search(query, picture)

    async def live() -> Outcome:
        try:
            async with asyncio.timeout(deps.budget.call_timeout_s):
                hits = await asyncio.to_thread(search)
            return Outcome(result=[hit.model_dump(mode="json") for hit in hits], usage={})
        except (DecisionError, TraceError):
            raise
        except Exception as error:  # the border to a store: whatever it raises is its failure, on record
            raise ToolBrokenError(expected="hits from the store", got=_named(error), fix="mend the store") from error

    outcome = await deps.journal.decide(
        "retrieval", "search", query.model_dump(mode="json"), live, scope=scope, version=deps.knowledge.version
    )
    return tuple(Hit.model_validate(hit) for hit in outcome.result), outcome.span_id


def _named(error: Exception) -> str:
    """An error of ours by what it says, any other with its kind."""
    return str(error) if isinstance(error, PolyclinicError) else f"{type(error).__name__}: {error}"


def _seconds_left(task: Task[Any], deps: Deps, share: Allotment) -> float:
    """How long this call may take with all its attempts. Raises BudgetSpentError when it may not be made.

    While it has calls, the attending always may. An outage costs a case nothing.
    """
    used, calls = deps.journal.tokens(task.agent), deps.calls_left(task.agent, share)
    if used >= share.tokens:
        raise BudgetSpentError(
            expected=f"{task.agent} to need fewer than {share.tokens} tokens", got=f"{used}", fix="raise budget.tokens"
        )
    if calls <= 0:
        raise BudgetSpentError(
            expected=f"{task.agent} to need at most {share.calls_of(task.agent)} calls", got="one more",
            fix="raise budget.calls",
        )  # fmt: skip
    if task.kind == "attending":
        return max(deps.budget.call_timeout_s, deps.budget.seconds * ATTENDING_SHARE)
    spent = max(0.0, deps.journal.elapsed_s() - (deps.engine.paused_s - deps.paused_before_s))
    allowed = deps.budget.seconds * (1.0 - ATTENDING_SHARE)
    if spent >= allowed:
        raise BudgetSpentError(
            expected=f"{task.agent} to be asked within {allowed:g} s of work on the case",
            got=f"{spent:.1f} s",
            fix="raise budget.seconds",
            cause="late",
        )
    return allowed - spent


async def _shared_run(request: ToolRequest, images: Mapping[str, Image], deps: Deps) -> ToolOutput:
    """Run a tool once for equal requests that are under way or done in this process."""
    key = digest([request.tool, request.arguments, {name: images[name].model_dump(mode="json") for name in images}])
    if key not in deps.running:
        arguments = {**request.arguments, **{name: image.blob for name, image in images.items()}}
        named = {image.blob: image for image in images.values() if image.blob}
        deps.running[key] = asyncio.ensure_future(deps.toolbox.run(request.tool, arguments, named, deps.images))
    return await asyncio.shield(deps.running[key])
