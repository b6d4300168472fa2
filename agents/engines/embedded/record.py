"""What is asked of a patient and a chart: the same topics in every case, and the question. It knows no answers."""

from __future__ import annotations

from typing import Any

from ....core.evidence import Evidence
from ...tasks import Task, ToolRequest

TOPICS = (
    "present illness", "other symptoms", "vital signs: temperature, blood pressure, heart rate, respiratory rate",
    "physical examination", "tests", "laboratory: blood, serum, urine", "imaging: X-ray, ultrasound, CT, MRI",
    "past medical history", "medications and allergies", "social history: smoking, alcohol, drugs", "family history",
)  # fmt: skip
"""What every clerking asks, what tells most first: a turn that runs many tools asks fewer of them."""


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
