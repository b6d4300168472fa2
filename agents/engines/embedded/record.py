"""What is asked of a patient and a chart: the same topics in every case, and the question; what asks for more.

It knows no answers.
"""

from __future__ import annotations

import re
from typing import Any

from ....core.evidence import Evidence
from ...tasks import Task, ToolRequest

TOPICS = (
    "present illness", "other symptoms", "vital signs: temperature, blood pressure, heart rate, respiratory rate",
    "physical examination", "tests", "laboratory: blood, serum, urine", "imaging: X-ray, ultrasound, CT, MRI",
    "past medical history", "medications and allergies", "social history: smoking, alcohol, drugs", "family history",
)  # fmt: skip
"""What every clerking asks, what tells most first: a turn that runs many tools asks fewer of them."""

_DIAGNOSIS = re.compile(
    r"\b(?:what|which)(?:['’]s)?\s+(?:(?:is|are|would be|could be|might be|may be|can be)\s+)?"
    r"(?:(?:the|his|her|their|your|my|our|this|(?:the |this )?patient['’]s)\s+)?"
    r"(?:(?:single|most|more|best|likely|probable|possible|correct|final|differential|underlying|leading|working)\s+)*"
    r"(?:diagnos[ie]s\b(?!\s+of\b(?!\s+(?:the|this|his|her)\b))|(?:disease|disorder|condition|illness)\s+"
    r"(?:does|do|is|could|might|would|best|most|explains?|causes?)\b)",
    re.IGNORECASE,
)
_ON_RECORD = re.compile(
    r"\b(?:recorded|documented|noted|charted|known|stored|previous(?:ly)?|prior|past|earlier|former|history|was|were|had)\b",
    re.IGNORECASE,
)


def asks_for_diagnosis(question: str) -> bool:
    """Whether a sentence of the question asks which disease it is, and not which one the record already names."""
    asking = (part for part in re.split(r"(?<=[.?!;])\s+", question) if _DIAGNOSIS.search(part))
    return any(not _ON_RECORD.search(part) for part in asking)


def questions(task: Task[Any]) -> list[ToolRequest]:
    """One request for the question, its end where the tool takes no more, and one for each topic; none where the case
    has no record that can be asked."""
    record = next((card for card in task.tools if card.shelf == "record"), None)
    if record is None:
        return []
    question, longest = task.case.question, record.arguments["topic"].get("maxLength")
    topics = (question[-longest:] if longest else question, *TOPICS)
    return [ToolRequest(tool=record.name, arguments={"topic": topic}) for topic in topics]


def said_of_case(item: Evidence) -> bool:
    """Whether it is text of this case: what came with it, or what was told on asking."""
    told = item.kind == "observation" and item.name not in ("conflict", "not recorded")
    return item.source.kind == "case" and (told or item.kind == "passage")
