"""What the embedded engine asks of a record, and which evidence it takes for what was told."""

from __future__ import annotations

from typing import Any

import pytest

from polyclinic import Case, Image
from polyclinic.agents.engines.embedded.options import choose_option
from polyclinic.agents.engines.embedded.record import TOPICS, questions, said_of_case
from polyclinic.agents.engines.embedded.specialist import consider
from polyclinic.agents.tasks import SpecialistTurn, Task
from polyclinic.core.evidence import Evidence, Source
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
