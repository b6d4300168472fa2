"""The first node: checks the images, and turns what came with the case into evidence. It asks no engine."""

from __future__ import annotations

import asyncio
import datetime

from ..core.case import NOT_READ, Case, Image, Visit
from ..core.errors import ToolBrokenError, ToolRefusedError
from ..core.evidence import Evidence, Source
from ..core.report import Urgency
from ..knowledge.patient.history import changes, left_out, visit_evidence
from ..knowledge.red_flags import RedFlag, find_red_flags
from ..tools.gate.quality import GATE
from .evidence import change_evidence, criteria_evidence
from .prompts import image_names
from .requests import Deps, use_tool
from .state import State
from .tasks import ToolRequest


async def intake(state: State, deps: Deps) -> State:
    """Image quality, given text, earlier visits, laboratory criteria and red flags; or the reason to stop."""
    case = await _dated(state["case"], deps)
    later = len(state["case"].visits) - len(case.visits)
    quality, limitations, stop = await _check_images(case, deps)
    given = [*_given_text(case), *_earlier_turns(case), *visit_evidence(case)]
    latest = {" ".join(item.name.lower().split()): item for item in given if item.value is not None}
    criteria = criteria_evidence("intake", 1, latest.values(), case)
    flags = find_red_flags(_free_text(case))
    moved = changes(case)
    compared = change_evidence("intake", 1, moved, between="visit")
    return State(
        case=case,
        shared=(*quality, *given, *criteria, *compared, *_flag_evidence(flags)),
        urgency=_most_urgent(flags),
        red_flags=tuple(f"{', '.join(flag.phrases)}: {flag.why}" for flag in flags),
        changes=moved,
        limitations={"intake": (*limitations, *_later(later), *left_out(case), *_unread(case))},
        stop=stop,
    )


async def _dated(case: Case, deps: Deps) -> Case:
    """The case with its date: as given, or today's when there are earlier visits to measure from.

    Visits dated after it are no history and do not go further than here, with all that they hold. An image of a visit
    that does not say when it was acquired has the visit's date.
    """
    if not case.visits:
        return case
    today = case.date or datetime.date.fromisoformat((await deps.journal.now("intake"))[:10])
    visits = tuple(_with_dated_images(visit) for visit in case.visits if visit.date <= today)
    return case.model_copy(update={"date": today, "visits": visits})


def _with_dated_images(visit: Visit) -> Visit:
    images = (image.model_copy(update={"acquired": image.acquired or visit.date}) for image in visit.images)
    return visit.model_copy(update={"images": tuple(images)})


async def _check_images(case: Case, deps: Deps) -> tuple[list[Evidence], list[str], str]:
    """What the gate saw on each image, the limitations that follow, and why a person is needed (or "").

    Only the case's own images can stop it; an earlier one that cannot be read is a limitation.
    """
    names = image_names(case)
    answers = await asyncio.gather(*(_check_image(name, case, deps) for name in names))
    seen: list[Evidence] = []
    limitations: list[str] = []
    stops: list[str] = []
    for number, ((name, image), (verdict, words, span)) in enumerate(zip(names.items(), answers, strict=True), start=1):
        if span:
            seen.append(
                Evidence(
                    id=f"intake.q{number}", kind="observation", name="image quality", span_id=span,
                    content=f"{name} ({verdict.replace('_', ' ')}): {words}",
                    source=Source(kind="tool", name=GATE.card.name, version=GATE.card.version),
                )
            )  # fmt: skip
        if verdict == "stop" and number <= len(case.images):
            stops.append(f"{name}: {words}")
        elif verdict != "go":
            limitations.append(f"{name}: {words}")
        limitations += _unstated(name, image)
    return seen, limitations, "; ".join(stops)


async def _check_image(name: str, case: Case, deps: Deps) -> tuple[str, str, str]:
    """The gate's verdict on one image, in its words, and the step it was made in ("" when the gate failed)."""
    request = ToolRequest(tool=GATE.card.name, image=name)
    try:
        result, span = await use_tool(request, case, deps, scope="intake")
    except (ToolRefusedError, ToolBrokenError) as error:
        return "stop", f"could not be checked: {error.got}", ""
    return result.output["verdict"], "; ".join(result.output["observations"]) or "no fault found", span


def _unstated(name: str, image: Image) -> list[str]:
    if image.modality is not None:
        return []
    return [f"{name}: its modality is not stated, so no expert tool could be chosen for it"]


def _later(count: int) -> list[str]:
    """What is said of visits that are dated after the case."""
    if not count:
        return []
    return [f"{count} visits dated after the case were left out" if count > 1
            else "1 visit dated after the case was left out"]  # fmt: skip


def _unread(case: Case) -> list[str]:
    """What the file of the patient's record held and could not be read, as the case says it."""
    gaps = case.metadata.get(NOT_READ)
    return [f"the patient's record was not read completely: {gaps}"] if gaps else []


def _given_text(case: Case) -> list[Evidence]:
    return [
        Evidence(
            id=f"intake.p{number}", kind="passage", name=f"given text {number}", content=text,
            source=Source(kind="case", name="given with the case", span=(0, len(text))),
        )
        for number, text in enumerate(case.context, start=1)
    ]  # fmt: skip


def _earlier_turns(case: Case) -> list[Evidence]:
    """Evidence of earlier turns of the consultation, under ids that say which turn."""
    found: dict[str, Evidence] = {}
    for number, exchange in enumerate(case.dialogue, start=1):
        for item in exchange.evidence:
            if not item.id.startswith(("turn", "intake.", "history.")):
                found[f"turn{number}.{item.id}"] = item.model_copy(update={"id": f"turn{number}.{item.id}"})
    return list(found.values())


def _flag_evidence(flags: tuple[RedFlag, ...]) -> list[Evidence]:
    return [
        Evidence(
            id=f"intake.f{number}", kind="observation", name="red flag",
            content=f"Red flag “{', '.join(flag.phrases)}”: {flag.why}.",
            source=Source(kind="criterion", name=flag.id, citation=flag.citation),
        )
        for number, flag in enumerate(flags, start=1)
    ]  # fmt: skip


def _free_text(case: Case) -> str:
    """What is known of the patient now; earlier reports and options are not the present complaint."""
    return "\n".join((case.question, *case.context))


def _most_urgent(flags: tuple[RedFlag, ...]) -> Urgency:
    if any(flag.urgency == "emergency" for flag in flags):
        return "emergency"
    return "urgent" if flags else "routine"
