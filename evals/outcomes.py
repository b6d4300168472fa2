"""What became of one sample: what was said, whether it was right, and if nothing was said, why. It asks nobody.

No outcome ever counts as another: a sample without an answer is not wrong, it is not answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field

from ..core.errors import DecisionError
from ..core.frozen import Frozen
from ..core.report import Report
from ..core.trace import Record

Outcome: TypeAlias = Literal["right", "wrong", "abstained", "needs_human", "unparsable", "timed_out", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong", "abstained", "needs_human", "unparsable", "timed_out", "failed")
ANSWERED: frozenset[Outcome] = frozenset({"right", "wrong"})
Silence: TypeAlias = Literal["", "abstained", "needs_human", "unparsable", "timed_out", "failed"]


class Said(Frozen):
    """What an arm said of one sample and what that cost. `silence` is why there is no answer, empty where there is one.

    `confidence` is in [0, 1] or not known; `cited` are the benchmark's names of the evidence the answer cites;
    `trace` is the run's folder, relative to the evaluation's.
    """

    option: str | None = None
    answer: str = ""
    answers: tuple[str, ...] = ()
    confidence: float | None = Field(default=None, ge=0, le=1)
    silence: Silence = ""
    why: str = ""
    cited: tuple[str, ...] = ()
    claims: int = 0
    unsupported: int = 0
    chat_calls: int = 0
    tool_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    trace: str = ""


class Row(Frozen):
    """One sample of one benchmark by one arm: what the tables are made of."""

    benchmark: str
    arm: str
    sample: str
    epoch: int = 1
    group: str
    facets: Mapping[str, str] = Field(default_factory=dict)
    asked_with: str = ""
    target: str
    shown: str
    outcome: Outcome
    scores: Mapping[str, float] = Field(default_factory=dict)
    said: Said


def said_of(report: Report, records: Sequence[Record], *, folder: Path, root: Path) -> Said:
    """What a report says, with the reason for its silence from the records of its trace."""
    unsupported = sum(claim.support != "supported" for claim in report.claims)
    total = report.usage.total
    cited = {name for claim in report.claims for name in claim.evidence}
    documents = {item.source.name for item in report.evidence if item.id in cited and item.kind == "passage"}
    silence: Silence = "" if report.status == "answered" else _silence(report, records)
    return Said(
        option=report.option,
        answer=report.answer,
        confidence=report.confidence,
        silence=silence,
        why=next(iter(report.limitations), "") if silence else "",
        cited=tuple(sorted(documents)),
        claims=len(report.claims),
        unsupported=unsupported,
        chat_calls=total.chat_calls,
        tool_calls=total.tool_calls,
        prompt_tokens=total.prompt_tokens,
        completion_tokens=total.completion_tokens,
        seconds=total.seconds,
        trace=folder.relative_to(root).as_posix(),
    )


def _silence(report: Report, records: Sequence[Record]) -> Silence:
    if report.status in ("abstained", "needs_human"):
        return report.status
    last = next((record for record in reversed(records) if record.kind == "chat"), None)
    if last is None:
        return "failed"
    if last.error is None:
        return "unparsable" if (last.result or {}).get("value") is None else "failed"
    error = DecisionError.from_record(last.error)
    return "timed_out" if "seconds" in error.fix or " within " in error.expected else "failed"
