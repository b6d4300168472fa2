"""What a specialist does without a model: run the recommended tools, look the question up, state what was found."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import Any

from ....core.case import Case
from ....core.evidence import Evidence
from ....knowledge.patient.asked import asked
from ....knowledge.patient.courses import told as course_of
from ....knowledge.patient.timelines import timelines
from ....knowledge.text import terms
from ...prompts import image_names
from ...tasks import ClaimDraft, OpinionDraft, SearchRequest, SpecialistTurn, Task, ToolRequest
from .calculators import asked_for, filled, how_to_run, result_wanted, worked_out
from .options import YES_NO_MAYBE, Choice, choose_option
from .record import asks_for_diagnosis, questions, said_of_case
from .wording import claim_of, told

FLOORS = {3: 0.33, 2: 0.45}
"""Share of the question's information a passage must cover to be called support, by the number of the question's terms
it holds. One term in common is chance, unless the question asks what a passage's title names."""

GIVEN = 0.3
"""Share of the question's terms that text given with the case must hold to be called an answer."""

_LATEST = re.compile(r"\b(?:latest|last|newest|most recent|current(?:ly)?|now|today)\b", re.IGNORECASE)
_DEFINITION = re.compile(r"\bwhat(?:['’]s| is| are)\b", re.IGNORECASE)

ABSTENTION = "No support found: nothing measured, recorded or stored speaks to this question."
UNDIAGNOSED = (
    "No diagnosis: only what the patient and the chart tell was found, and that is evidence for one, not one itself."
)
UNMEASURED = "No tool here could measure this image, and passages alone cannot say what it shows."


def consider(task: Task[Any]) -> SpecialistTurn:
    """First ask for everything that could help, then give the opinion."""
    if task.step == 0 and not task.last:
        tools, searches = _tool_requests(task), _searches(task.case)
        return SpecialistTurn(
            reasoning="Run every tool recommended for these images and look the question up.",
            tools=tools, searches=searches,
        )  # fmt: skip
    return SpecialistTurn(reasoning="Everything asked for is in; conclude.", opinion=conclude(task))


def conclude(task: Task[Any]) -> OpinionDraft:
    """The option best supported, or what was measured, met and found; an abstention when there is nothing."""
    if task.case.options:
        return _choose(task)
    if _unmeasured(task):
        return _abstain(UNMEASURED)
    computed, unrun = _calculated(task)
    flags, fired = _fired(task.evidence, task.case.question)
    similar = [item for item in task.shared if item.kind == "similar_case"]
    found = [] if computed or unrun else [*_passages(task), *similar]
    results = {name for claim in computed for name in claim.evidence}
    relevant = [item for item in (*fired, *_of_this_question(task), *found) if item.id not in results]
    missing = [item for item in task.shared if item.name == "not recorded"]
    said = (*map(claim_of, flags), *computed, *_courses(task), *map(claim_of, missing), *map(claim_of, relevant))
    claims = told(said, task.evidence, task.case.question)
    if not claims:
        return _abstain(unrun or ABSTENTION)
    if asks_for_diagnosis(task.case.question):
        beyond = _beyond_the_record(claims, task.evidence)
        if not beyond:
            return _abstain(" ".join(filter(None, (unrun, UNDIAGNOSED))), claims)
        claims = beyond
    return OpinionDraft(
        reasoning="State what was measured, which criteria it meets and what the store says of it.",
        answer=" ".join(filter(None, (unrun, *(claim.text for claim in claims[:4])))),
        claims=claims,
        would_change_my_mind=unrun or "a measurement or passage that says otherwise",
    )


def _calculated(task: Task[Any]) -> tuple[list[ClaimDraft], str]:
    """What the calculator that is asked for gave; or how to run it, when nothing recorded or measured is its result."""
    card = asked_for(task.case, task.tools)
    if card is None:
        return [], ""
    results = [item for item in task.own if item.source.name == card.name and item.value is not None]
    known = filled(card, task.case, task.shared)
    if not results or known is None:
        names = [item.name for item in task.evidence if item.value is not None]
        return [], "" if asked(result_wanted(task.case.question), names) else how_to_run(card)
    return [worked_out(item, known.labs) for item in results], ""


def _unmeasured(task: Task[Any]) -> bool:
    """Whether there are images and no tool, in this turn or an earlier one, could measure any."""
    measured = any(item.value is not None and item.source.kind == "tool" for item in task.evidence)
    return bool(task.case.images) and not measured


def _beyond_the_record(claims: Iterable[ClaimDraft], evidence: Iterable[Evidence]) -> tuple[ClaimDraft, ...]:
    """The claims that do not just repeat the patient and the chart: a history is evidence for a diagnosis, not one."""
    told_of = (
        item for item in evidence if item.name == "not recorded" or item.source.kind == "visit" or said_of_case(item)
    )
    record = {item.id for item in told_of if item.name != "red flag"}
    return tuple(claim for claim in claims if not record.issuperset(claim.evidence))


def _abstain(why: str, claims: tuple[ClaimDraft, ...] = ()) -> OpinionDraft:
    return OpinionDraft(
        reasoning="No evidence reaches the floor.", abstains=True, answer=why, claims=claims,
        would_change_my_mind="a passage that covers the question, or a measurement of what it asks about",
    )  # fmt: skip


def _choose(task: Task[Any]) -> OpinionDraft:
    if _unmeasured(task):
        return _abstain(UNMEASURED)
    choice: Choice = choose_option(task.case.question, task.case.options, task.evidence)
    if choice.option is None:
        return OpinionDraft(
            reasoning=choice.why, abstains=True, answer=f"No option chosen: {choice.why}.",
            would_change_my_mind="a passage that has the words of one option only",
        )  # fmt: skip
    by_id = {item.id: item for item in task.evidence}
    claims = tuple(claim_of(by_id[name]) for name in choice.evidence)
    fired = tuple(
        claim_of(item) for item in chain(*_fired(task.evidence, task.case.question)) if item.id not in choice.evidence
    )
    return OpinionDraft(
        reasoning=choice.why, answer=f"{choice.option}. {task.case.options[choice.option]}: {choice.why}.",
        option=choice.option, confidence=choice.confidence, claims=(*claims, *fired),
        would_change_my_mind="a passage that has the words of another option",
    )  # fmt: skip


def _tool_requests(task: Task[Any]) -> tuple[ToolRequest, ...]:
    """Every recommended tool on every image in its domain, unless an earlier turn of the consultation ran it; before
    these the calculator that is asked for, where the record has all its arguments; after them what is asked of the
    patient and the chart, as far as the turn goes."""
    done = {(item.source.name, item.region.image if item.region else "") for item in task.shared}
    requests = [
        ToolRequest(tool=card.name, image=name)
        for name, image in image_names(task.case).items()
        for card in task.tools
        if card.modalities and card.accepts(image) and (card.name, image.blob) not in done
    ]
    card = asked_for(task.case, task.tools)
    known = card and filled(card, task.case, task.shared)
    calculator = [known.request(card)] if card and known else []
    return tuple([*calculator, *requests, *questions(task)][:12])


def _searches(case: Case) -> tuple[SearchRequest, ...]:
    """The question, and the question with each option; for a plain yes or no the question says it all."""
    options = [text for text in case.options.values() if text.strip().lower() not in YES_NO_MAYBE]
    queries = [case.question, *(f"{case.question} {text}" for text in options[:5])]
    return tuple(SearchRequest(query=query) for query in queries)


def _fired(evidence: Iterable[Evidence], question: str) -> tuple[list[Evidence], list[Evidence]]:
    """Red flags; then what changed since earlier visits and criteria that are met, what is asked about first."""
    given = list(evidence)
    wanted = asked(question, (item.name for item in given if item.value is not None))
    flags, changes = ([item for item in given if item.name == name] for name in ("red flag", "change"))
    fired = [*changes, *(item for item in given if item.kind == "criterion")]
    return flags, sorted(fired, key=lambda item: not item.content.startswith(wanted))


def _courses(task: Task[Any]) -> list[ClaimDraft]:
    """How each recorded measurement went that the question asks about, the newest value first where it asks for it."""
    lines = timelines(item for item in task.evidence if item.source.kind == "visit")
    latest = bool(_LATEST.search(task.case.question))
    wanted = asked(task.case.question, (line.finding for line in lines))
    courses = [course_of(line, latest=latest) for name in wanted for line in lines if line.finding == name]
    return [ClaimDraft(text=course.text, evidence=course.evidence) for course in courses]


def _of_this_question(task: Task[Any]) -> list[Evidence]:
    """Measurements; those the question names come first."""
    values = [item for item in task.evidence if item.value is not None and item.source.kind != "visit"]
    wanted = asked(task.case.question, (item.name for item in values))
    named = [item for item in values if item.name in wanted]
    fresh = [item for item in task.own if item.value is not None and item not in named]
    return [*named, *fresh] if not task.case.dialogue or not named else named


def _passages(task: Task[Any]) -> list[Evidence]:
    """Text of the case that shares the question's terms, then passages of the store, best first."""
    asked = set(terms(task.case.question))
    passages = [item for item in task.evidence if item.kind == "passage"]
    texts = [item for item in task.evidence if said_of_case(item)]
    given = [item for item in texts if len(asked & set(terms(item.content))) >= GIVEN * len(asked)]
    found = [item for item in passages if item not in texts and _speaks_to(item, task.case.question)]
    return [*given[:3], *sorted(found, key=lambda item: (-(item.score or 0.0), item.id))[:3]]


def _speaks_to(passage: Evidence, question: str) -> bool:
    """Whether a passage of the store shares more with the question than chance would."""
    asked, title = set(terms(question)), set(terms(passage.name))
    if _DEFINITION.search(question) and asked <= title:
        return True
    shared = asked & (title | set(terms(passage.content)))
    floor = FLOORS.get(min(len(shared), max(FLOORS)))
    return floor is not None and (passage.score or 0.0) >= floor
