"""A specialist: the same bounded loop for every role: think, run tools and look up at once, then give an opinion."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from ..core.case import Case
from ..core.errors import DecisionError, ModelError, ToolBrokenError, ToolRefusedError
from ..core.evidence import Claim, Evidence
from ..core.report import Opinion
from ..knowledge.patient.timelines import measured_changes
from ..knowledge.store import Hit, Query
from ..tools.card import ToolResult
from .budget import Allotment, allot
from .evidence import Measured, change_evidence, criteria_evidence, found, measured
from .prompts import image_names
from .requests import Deps, ask, look_up, use_tool
from .roles import Role
from .shelf import tools_for
from .state import State
from .tasks import OpinionDraft, SearchRequest, SpecialistTurn, Task, ToolRequest

PASSAGES_PER_SEARCH = 4

R = TypeVar("R")
Answer: TypeAlias = tuple[R, str] | ToolRefusedError | ToolBrokenError


@dataclass(kw_only=True)
class Gathered:
    """What one specialist has in hand: evidence, what was refused, and how many of each kind are numbered."""

    evidence: list[Evidence] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    limitations: list[str] = field(default_factory=list)
    measurements: int = 0
    passages: int = 0


async def specialist(state: State, deps: Deps) -> State:
    """The opinion of `state["specialty"]` with the evidence it gathered, or the reason there is none."""
    name, case = state["specialty"], state["case"]
    role = next(role for role in deps.roles if role.name == name)
    share = allot(deps.budget, len(state["plan"].specialists))
    gathered = Gathered()
    try:
        draft = await _converse(role, state, gathered, share, deps)
    except DecisionError as error:
        return State(absent={name: error}, own={name: tuple(gathered.evidence)}, limitations=_notes(name, gathered))
    return State(
        opinions={name: _opinion(name, draft, case)},
        own={name: tuple(gathered.evidence)},
        limitations=_notes(name, gathered),
    )


async def _converse(role: Role, state: State, gathered: Gathered, share: Allotment, deps: Deps) -> OpinionDraft:
    """Turns until the opinion comes, at most `share.turns` of them."""
    case, tools = state["case"], tools_for(role.modalities, state["case"], deps.toolbox)
    for step in range(share.turns):
        # The last turn but one call: the opinion must come, and a reply that cannot be used can still be repaired.
        last = step == share.turns - 1 or deps.calls_left(role.name, share) <= 2 or _tokens_short(role, deps, share)
        task = Task(
            kind="specialist", agent=role.name, schema=SpecialistTurn, case=case, step=step, last=last, role=role,
            tools=tools, shared=state["shared"], own=tuple(gathered.evidence), problems=tuple(gathered.problems),
        )  # fmt: skip
        turn = await ask(task, deps, share)
        if turn.opinion is not None:
            return turn.opinion
        if last or not (turn.tools or turn.searches):
            break
        await _gather(turn, role, case, gathered, state["shared"], deps)
    raise ModelError(
        expected=f"an opinion from {role.name} within {share.turns} turns",
        got="none",
        fix="raise budget.calls or budget.tokens",
    )


def _tokens_short(role: Role, deps: Deps, share: Allotment) -> bool:
    """Whether the tokens left may not do for two more calls: each is longer than the one before."""
    used, calls = deps.journal.tokens(role.name), deps.journal.chats(role.name)
    return calls > 0 and share.tokens - used < 3 * used / calls


async def _gather(
    turn: SpecialistTurn, role: Role, case: Case, gathered: Gathered, shared: tuple[Evidence, ...], deps: Deps
) -> None:
    """Everything a turn asked for, at the same time; numbered in the order it was asked."""
    try:
        async with asyncio.TaskGroup() as group:
            tools = [group.create_task(_attempt(request, role, case, deps)) for request in turn.tools]
            searches = [group.create_task(_search(request, role, case, deps)) for request in turn.searches]
    except ExceptionGroup as failures:  # a full disk, a divergence: callers wait for the error itself
        raise failures.exceptions[0] from None
    gathered.problems.clear()
    for request, task in zip(turn.tools, tools, strict=True):
        _take_measurements(request, task.result(), role, case, gathered, deps)
    for search in searches:
        _take_passages(search.result(), role, gathered, shared)
    measurements = [item for item in gathered.evidence if item.value is not None]
    known = {item.content for item in gathered.evidence if item.kind == "criterion"}
    met = criteria_evidence(role.name, len(known) + 1, measurements, case, known)
    gathered.evidence += met
    compared = {item.source.version for item in gathered.evidence if item.name == "change"}
    moved = [change for change in measured_changes(case, measurements) if ", ".join(change.evidence) not in compared]
    gathered.evidence += change_evidence(role.name, len(compared) + 1, moved, between="image")


async def _attempt(request: ToolRequest, role: Role, case: Case, deps: Deps) -> Answer[ToolResult]:
    """The tool's result, or its error as a value: one tool's failure must not cost the others."""
    try:
        return await use_tool(request, case, deps, scope=role.name)
    except (ToolRefusedError, ToolBrokenError) as error:
        return error


async def _search(request: SearchRequest, role: Role, case: Case, deps: Deps) -> Answer[tuple[Hit, ...]]:
    """The hits, or the store's failure as a value."""
    query = Query(
        text=request.query, domains=role.domains, patient_id=case.patient_id, until=case.date, limit=PASSAGES_PER_SEARCH
    )
    try:
        return await look_up(query, deps, scope=role.name)
    except ToolBrokenError as error:
        return error


def _take_measurements(
    request: ToolRequest, answer: Answer[ToolResult], role: Role, case: Case, gathered: Gathered, deps: Deps
) -> None:
    """A tool's result as evidence, what is told a second time once; a refusal as a problem the role sees; a broken tool
    as a limitation as well."""
    if isinstance(answer, ToolRefusedError):
        gathered.problems.append(f"{request.tool} on {request.image or 'no image'} refused: {answer}")
        gathered.limitations.append(f"{request.tool} refused {request.image or 'to work'}: {answer}")
        return
    if isinstance(answer, ToolBrokenError):
        gathered.problems.append(f"{request.tool} is broken; go on without it")
        gathered.limitations.append(f"{request.tool} on {request.image or 'no image'} broke: {answer}")
        return
    result, span = answer
    card, images = deps.toolbox.get(request.tool).card, image_names(case)
    image = images.get(request.image) if card.looks else None
    label = f"{request.image}: " if image is not None and len(images) > 1 else ""
    new = measured(
        role.name, gathered.measurements + 1, Measured(card=card, result=result, image=image, label=label, span_id=span)
    )
    gathered.measurements += len(new)
    told = {item.content for item in gathered.evidence if item.kind == "observation"}
    gathered.evidence += (item for item in new if item.kind != "observation" or item.content not in told)
    gathered.limitations += [f"{card.name}: {label}{note}" for note in result.limitations]


def _take_passages(answer: Answer[tuple[Hit, ...]], role: Role, gathered: Gathered, shared: Iterable[Evidence]) -> None:
    """Passages that are not there yet, as evidence; a broken store as a limitation."""
    if isinstance(answer, ToolRefusedError | ToolBrokenError):
        gathered.limitations.append(f"looking something up broke: {answer}")
        return
    hits, span = answer
    known = {(item.source.name, item.source.span) for item in (*gathered.evidence, *shared)}
    new = found(
        role.name, gathered.passages + 1, (hit for hit in hits if (hit.passage.id, hit.span) not in known), span
    )
    gathered.passages += len(new)
    gathered.evidence += new


def _opinion(name: str, draft: OpinionDraft, case: Case) -> Opinion:
    """The draft under its specialty's name. An option the case does not offer is an abstention, said so."""
    stray = draft.option is not None and draft.option not in case.options
    return Opinion(
        specialty=name,
        answer=f"named option {draft.option!r}, which the case does not offer" if stray else draft.answer,
        option=None if stray else draft.option,
        confidence=None if stray else draft.confidence,
        abstains=draft.abstains or stray,
        claims=tuple(Claim(text=claim.text, evidence=claim.evidence) for claim in draft.claims),
        differential=draft.differential,
        would_change_my_mind=draft.would_change_my_mind,
    )


def _notes(name: str, gathered: Gathered) -> dict[str, tuple[str, ...]]:
    return {name: tuple(dict.fromkeys(gathered.limitations))}
