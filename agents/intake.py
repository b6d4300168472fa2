"""The first node: checks the images, and turns what came with the case into evidence. It asks no engine."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.case import NOT_READ, Case, Image, Visit
from ..core.errors import ToolBrokenError, ToolRefusedError
from ..core.evidence import Evidence, Source
from ..core.report import Urgency
from ..knowledge.patient.history import changes, left_out, visit_evidence
from ..knowledge.red_flags import RedFlag, find_red_flags
from ..tools.gate.duplicate import duplicates
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
    names = image_names(case)
    checked = await asyncio.gather(*(_check_image(name, image, case, deps) for name, image in names.items()))
    quality, limitations, stop = _quality(case, checked)
    case, seen = _with_seen(case, checked)
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
        limitations={"intake": (*limitations, *seen, *_later(later), *left_out(case), *_unread(case))},
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


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """What the gate said of one image: its verdict in words, the step it was made in ("" when the gate failed)."""

    name: str
    verdict: str
    words: str
    span: str = ""
    output: Mapping[str, Any] = field(default_factory=dict)


async def _check_image(name: str, image: Image, case: Case, deps: Deps) -> _Checked:
    stated = {"modality": image.modality, "body_part": image.body_part}
    arguments: dict[str, str | int | float | bool] = {key: value for key, value in stated.items() if value}
    request = ToolRequest(tool=GATE.card.name, image=name, arguments=arguments)
    try:
        result, span = await use_tool(request, case, deps, scope="intake")
    except (ToolRefusedError, ToolBrokenError) as error:
        return _Checked(name=name, verdict="stop", words=f"could not be checked: {error.got}")
    words = "; ".join(result.output["observations"]) or "no fault found"
    return _Checked(name=name, verdict=result.output["verdict"], words=words, span=span, output=result.output)


def _quality(case: Case, checked: Sequence[_Checked]) -> tuple[list[Evidence], list[str], str]:
    """What the gate saw on each image, the limitations that follow, and why a person is needed (or "").

    Only the case's own images can stop it; an earlier one that cannot be read is a limitation.
    """
    seen: list[Evidence] = []
    limitations: list[str] = []
    stops: list[str] = []
    for number, one in enumerate(checked, start=1):
        if one.span:
            seen.append(
                Evidence(
                    id=f"intake.q{number}", kind="observation", name="image quality", span_id=one.span,
                    content=f"{one.name} ({one.verdict.replace('_', ' ')}): {one.words}",
                    source=Source(kind="tool", name=GATE.card.name, version=GATE.card.version),
                )
            )  # fmt: skip
        if one.output.get("stated") == "disagrees":
            seen.append(_another_kind(number, one))
        if one.verdict == "stop" and number <= len(case.images):
            stops.append(f"{one.name}: {one.words}")
        elif one.verdict != "go":
            limitations.append(f"{one.name}: {one.words}")
    return seen, [*limitations, *_repeated(checked)], "; ".join(stops)


def _another_kind(number: int, one: _Checked) -> Evidence:
    """What the image looks like and what it is stated to be, in the gate's words, of which it is the last."""
    return Evidence(
        id=f"intake.k{number}", kind="observation", name="another kind", span_id=one.span,
        content=f"{one.name}: {one.output['observations'][-1]}",
        source=Source(kind="tool", name=GATE.card.name, version=GATE.card.version),
    )  # fmt: skip


def _repeated(checked: Sequence[_Checked]) -> list[str]:
    """Images that are one picture: what they share is no agreement, and no course over time.

    Neighbouring slices and frames look as alike as copies do, so both are named.
    """
    prints = {one.name: str(one.output["fingerprint"]) for one in checked if one.output.get("fingerprint")}
    return [
        f"{again.name} is the same picture as {again.of}{', ' + again.how if again.how else ''}, or the slice "
        "or frame beside it: it confirms nothing on its own"
        for again in duplicates(prints)
    ]


def _with_seen(case: Case, checked: Sequence[_Checked]) -> tuple[Case, list[str]]:
    """The case with the modality of an image as it was seen where none is stated, and what has to be said of it.

    A body part as stated stays. What contradicts it, and what is like nothing known, gives no modality.
    """
    notes: list[str] = []
    found: list[Image] = []
    for image, one in zip(case.all_images(), checked, strict=True):
        taken = image
        modality = one.output.get("seen_modality") if one.output.get("stated") in {"not stated", "agrees"} else None
        if image.modality is None and modality:
            part = image.body_part or one.output.get("seen_body_part") or None
            taken = image.model_copy(update={"modality": modality, "body_part": part})
            notes.append(f"{one.name}: taken for {one.output['seen']} by how it looks; state its modality to be sure")
        elif image.modality is None:
            notes.append(f"{one.name}: its modality is not stated, so no expert tool could be chosen for it")
        found.append(taken)
    own = len(case.images)
    visits, at = [], own
    for visit in case.visits:
        visits.append(visit.model_copy(update={"images": tuple(found[at : at + len(visit.images)])}))
        at += len(visit.images)
    return case.model_copy(update={"images": tuple(found[:own]), "visits": tuple(visits)}), notes


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
