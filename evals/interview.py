"""The patient and the chart of a sample as an expert tool: it tells what it is asked for, and nothing before.

What is told is found by words alone, the same for the same topic. It knows no benchmark and no diagnosis, and the facts
stand nowhere but in its function: the card has their hash.
"""

from __future__ import annotations

import copy
import functools
import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from pydantic import Field

from ..agents.clinic import Clinic
from ..core.canonical import digest
from ..knowledge.text import terms
from ..tools.card import Arguments, Statement, Tool, ToolCard, ToolOutput

if TYPE_CHECKING:
    from ..tools.imaging.store import ImageStore

NAME = "ask_patient_or_chart"
MOST = 3
"""The most facts that one question is told."""

LONGEST = 200
"""The longest topic, in characters."""

UNRECORDED = "not recorded"
"""The topic of the statement that nothing is recorded, under which timelines say the same of measurements."""

_Facts: TypeAlias = tuple[tuple[str, str], ...]

_WORD = re.compile(r"(?<![\w.,-])[^\W\d_]\w*")
_TOPIC_WEIGHT = 2
"""A word in a fact's topic says more of what the fact is about than one in its text. A choice of ours."""


class Asked(Arguments):
    """One topic in free words."""

    topic: str = Field(
        min_length=1, max_length=LONGEST, examples=["social history"],
        description="one topic: a part of the history or of the examination, a symptom, a test",
    )  # fmt: skip


class Told(ToolOutput):
    """What is known of the topic, or that nothing is."""

    told: tuple[Statement, ...]


def interview(known: Mapping[str, str]) -> Tool:
    """The tool that is asked for `known`, topic to text. It runs in this process: no other one is told the facts."""
    facts = tuple(known.items())
    card = ToolCard(
        name=NAME,
        version=f"1.0.0+{digest(facts)[:12]}",
        summary="asks the patient or looks into the chart for one topic (history, symptoms, examination, tests) and "
        f"tells up to {MOST} facts of it; the case holds only its opening, so ask before concluding, topic by topic",
        measures=("what is recorded of a topic",),
        modalities=(),
        shelf="record",
        recommended=False,
        licence="that of the benchmark",
        provenance="the sample's own record, told as it was written",
        extra="",
        limits=("It compares words: a topic in words that the record does not use may be there and not be told.",),
    )
    return Tool(card=card, arguments=Asked, output=Told, run=functools.partial(_answer, facts))


def asking(clinic: Clinic, known: Mapping[str, str]) -> Clinic:
    """The same clinic, its engine and its queue included, with who can be asked for `known`; itself where nothing is
    known."""
    if not known:
        return clinic
    other = copy.copy(clinic)
    other.toolbox = clinic.toolbox.beside(interview(known))
    return other


def _answer(facts: _Facts, asked: Asked, images: ImageStore) -> Told:
    found = matching(facts, asked.topic)
    if not found:
        return Told(told=(Statement(topic=UNRECORDED, text=nothing_of(asked.topic)),))
    return Told(told=tuple(Statement(topic=topic, text=text) for topic, text in found))


def nothing_of(topic: str) -> str:
    """That nothing is recorded. Of the topic it repeats words only: a number would be one that evidence says."""
    return f"Nothing is recorded of “{' '.join(_WORD.findall(topic)) or '…'}”."


def matching(facts: _Facts, topic: str) -> _Facts:
    """The facts that share the topic's words best, at most MOST, best first and else in their own order.

    A word counts the more the fewer facts hold it. One that most facts hold, such as "patient", tells none apart: it
    counts only where nothing else is asked. What is less than half as good as the best is left out.
    """
    asked = set(terms(topic))
    held = [(_words(name), set(terms(text))) for name, text in facts]
    count = Counter(word for name, text in held for word in (name | text) & asked)
    telling = {word for word in asked if count[word] <= max(MOST, len(facts) / 2)} or asked
    scores = [
        sum((_TOPIC_WEIGHT if word in name else 1) / count[word] for word in sorted((name | text) & telling))
        for name, text in held
    ]
    best = sorted(range(len(facts)), key=lambda place: (-scores[place], place))[:MOST]
    return tuple(facts[place] for place in best if scores[place] and scores[place] >= max(scores) / 2)


def _words(topic: str) -> set[str]:
    """The words of a fact's topic; its number in a list says nothing."""
    return {word for word in terms(topic) if not word.isdigit()}
