"""What the embedded engine asks of a record, and which evidence it takes for what was told."""

from __future__ import annotations

from typing import Any

import pytest

from polyclinic import Case, Image
from polyclinic.agents.engines.embedded.attending import weigh
from polyclinic.agents.engines.embedded.options import choose_option
from polyclinic.agents.engines.embedded.record import TOPICS, asks_for_diagnosis, questions, said_of_case
from polyclinic.agents.engines.embedded.specialist import UNDIAGNOSED, conclude, consider
from polyclinic.agents.tasks import SpecialistTurn, Task, Verdict
from polyclinic.core.evidence import Evidence, Source
from polyclinic.core.report import Claim, Opinion
from polyclinic.tools.card import ToolCard

TOPIC = {"topic": {"type": "string", "maxLength": 40}}
RECORD = ToolCard(
    name="the_chart", version="1", summary="s", measures=(), modalities=(), shelf="record", looks=False, arguments=TOPIC
)
LOOKING = ToolCard(name="looks", version="1", summary="s", measures=(), modalities=("xray",))


def task(case: Case, *tools: ToolCard) -> Task[Any]:
    return Task(kind="specialist", agent="cardiology", schema=SpecialistTurn, case=case, last=False, tools=tools)


def told(content: str, **fields: Any) -> Evidence:
    given = {"kind": "observation", "name": "history", "source": Source(kind="case", name="the_chart"), **fields}
    return Evidence(id="cardiology.t1", content=content, **given)


def test_the_question_and_every_topic_are_asked_where_there_is_a_record() -> None:
    case = Case(question="A long question that is longer than the tool allows: why does it hurt?")
    assert questions(task(case)) == []
    asked = [request.arguments["topic"] for request in questions(task(case, RECORD))]
    assert asked == [case.question[-40:], *TOPICS]
    assert [(item.tool, item.image) for item in consider(task(case, RECORD)).tools] == [("the_chart", "")] * 12


def test_tools_for_the_images_come_first_and_a_turn_asks_twelve_things() -> None:
    images = tuple(Image(modality="xray", blob=f"{number:064}") for number in range(4))
    asked = [request.tool for request in consider(task(Case(question="Why?", images=images), LOOKING, RECORD)).tools]
    assert asked == ["looks"] * 4 + ["the_chart"] * 8


@pytest.mark.parametrize(
    ("evidence", "taken"),
    [
        (told("She smokes."), True),
        (told("She smokes.", kind="passage"), True),
        (told("Nothing is recorded of “smoking”.", name="not recorded"), False),
        (told("One says 1, the other 2.", name="conflict"), False),
        (told("She smokes.", source=Source(kind="document", name="book"), kind="passage"), False),
        (told("The image is sharp.", source=Source(kind="tool", name="gate")), False),
    ],
)
def test_only_text_of_the_case_is_taken_for_it(evidence: Evidence, taken: bool) -> None:
    assert said_of_case(evidence) is taken


def test_an_option_may_rest_on_what_was_told() -> None:
    options = {"A": "Lyme disease", "B": "Syphilis"}
    fact = told("A rash came after a walk; her disease was called Lyme by another doctor.")
    choice = choose_option("Which disease explains the rash?", options, [fact])
    assert (choice.option, choice.evidence) == ("A", (fact.id,))
    assert choose_option("Is it Lyme disease?", {"A": "yes", "B": "no"}, [fact]).option is None


def test_options_without_a_word_that_means_something_have_no_support() -> None:
    passage = Evidence(
        id="p1", kind="passage", content="A statement about the knee. I and III are not said.",
        source=Source(kind="document", name="book"),
    )  # fmt: skip
    options = {"A": "I only", "B": "and", "C": "I and III", "D": "knee statement"}
    assert choose_option("Which is true of the knee?", options, [passage]).option in {None, "D"}
    assert choose_option("Which is true?", {"A": "I", "B": "and"}, [passage]).option is None


@pytest.mark.parametrize(
    ("question", "asks"),
    [
        ("Assess the patient with a rash. What is the diagnosis?", True),
        ("What is the most likely diagnosis in this patient?", True),
        ("What's her diagnosis?", True),
        ("Which disease explains the rash?", True),
        ("Which condition does he have?", True),
        ("Her father had a stroke. What is the diagnosis?", True),
        ("What is his recorded diagnosis?", False),
        ("What was the diagnosis at her last visit?", False),
        ("What is the diagnosis of diabetes based on?", False),
        ("What is diabetes?", False),
        ("What is this patient's blood pressure?", False),
        ("Has the diagnosis been explained to him?", False),
    ],
)
def test_a_question_asks_for_a_diagnosis_or_for_what_is_known(question: str, asks: bool) -> None:
    assert asks_for_diagnosis(question) is asks


def asked(question: str, *evidence: Evidence) -> Task[Any]:
    case = Case(question=question)
    return Task(kind="specialist", agent="cardiology", schema=SpecialistTurn, case=case, last=True, own=evidence)


def test_what_was_told_answers_a_question_about_the_record_and_never_one_that_asks_for_a_diagnosis() -> None:
    fact = told("The rash came after a walk in the woods.")
    answered = conclude(asked("When did the rash come?", fact))
    assert (answered.abstains, answered.answer) == (False, fact.content)
    silent = conclude(asked("A rash came. What is the diagnosis?", fact))
    assert (silent.abstains, silent.answer) == (True, UNDIAGNOSED)
    assert [claim.evidence for claim in silent.claims] == [(fact.id,)]


def test_a_diagnosis_that_a_criterion_names_is_told_without_the_history() -> None:
    fact = told("The rash came after a walk in the woods.")
    met = told("Lyme disease: an expanding rash is met.", kind="criterion", name="lyme").model_copy(update={"id": "c1"})
    said = conclude(asked("A rash came. What is the diagnosis?", fact, met))
    assert not said.abstains
    assert said.answer == met.content


def test_a_verdict_without_a_diagnosis_keeps_what_was_told_as_its_evidence() -> None:
    fact = told("The rash came after a walk in the woods.")
    question = "A rash came. What is the diagnosis?"
    draft = conclude(asked(question, fact))
    claims = tuple(Claim(text=claim.text, evidence=claim.evidence) for claim in draft.claims)
    opinions = tuple(
        Opinion(specialty=name, answer=draft.answer, abstains=True, claims=claims) for name in ("cardiology", "surgery")
    )
    case = Case(question=question)
    verdict = weigh(
        Task(kind="attending", agent="attending", schema=Verdict, case=case, opinions=opinions, own=(fact,))
    )
    assert (verdict.abstains, verdict.answer) == (True, UNDIAGNOSED)
    assert [claim.evidence for claim in verdict.claims] == [(fact.id,)]
