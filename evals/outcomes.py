"""What became of one sample: what was said, whether it was right, and if nothing was said, why. It asks nobody.

No outcome ever counts as another: a sample without an answer is not wrong, it is not answered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field

from ..core.errors import DecisionError
from ..core.evidence import Source
from ..core.frozen import Frozen
from ..core.report import Report
from ..core.trace import Record
from ..tools.card import Box

Outcome: TypeAlias = Literal["right", "wrong", "abstained", "needs_human", "unparsable", "timed_out", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong", "abstained", "needs_human", "unparsable", "timed_out", "failed")
ANSWERED: frozenset[Outcome] = frozenset({"right", "wrong"})
Silence: TypeAlias = Literal["", "abstained", "needs_human", "unparsable", "timed_out", "failed"]
BY_WEIGHT: tuple[Silence, ...] = ("timed_out", "unparsable", "failed")
"""Which of several agents' missing replies names the outcome."""

ATTENDING = "attending"


class Place(Frozen):
    """An object on the case's first image: its label, its box in px, and how sure it is, 0 to 1."""

    label: str
    box: Box
    score: float = Field(default=1.0, ge=0, le=1)


class Said(Frozen):
    """What an arm said of one sample and what that cost. `silence` is why there is no answer, empty where there is one.

    `confidence` is in [0, 1] or not known; `cited` names the documents the answer cites, papers by their PMID;
    `trace` is the run's folder, relative to the evaluation's; `answered_by` a tool's name and version.

    `boxes` are the objects that were found, None where nothing was said of places; `mask` the PNG of a region, relative
    to the evaluation's folder; `counts` how many objects of each label; `chances` the probability of each option.
    `trained_on_these` says whether the weights of a tool, or of one that a team cites, were made from the very pictures
    it is asked about: what is said of them then measures nothing.
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
    answered_by: str = ""
    boxes: tuple[Place, ...] | None = None
    mask: str = ""
    counts: Mapping[str, float] = Field(default_factory=dict)
    chances: Mapping[str, float] = Field(default_factory=dict)
    trained_on_these: Literal["", "yes", "no"] = ""


class Row(Frozen):
    """One sample of one benchmark by one arm: what the tables are made of. `there` are the boxes that are right."""

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
    there: tuple[Place, ...] = ()
    said: Said


def said_of(report: Report, records: Sequence[Record], *, folder: Path, root: Path) -> Said:
    """What a report says, with the reason for its silence from the records of its trace."""
    unsupported = sum(claim.support != "supported" for claim in report.claims)
    total = report.usage.total
    cited = {name for claim in report.claims for name in claim.evidence}
    passages = (item.source for item in report.evidence if item.id in cited and item.kind == "passage")
    documents = {name for source in passages for name in _documents(source)}
    silence: Silence = "" if report.status == "answered" else _silence(report, records)
    return Said(
        option=report.option,
        answer=report.answer,
        confidence=report.confidence,
        silence=silence,
        why=_why(report, records) if silence else "",
        cited=tuple(sorted(documents)),
        claims=len(report.claims),
        unsupported=unsupported,
        chat_calls=total.chat_calls,
        tool_calls=total.tool_calls,
        prompt_tokens=total.prompt_tokens,
        completion_tokens=total.completion_tokens,
        seconds=total.seconds,
        trace=folder.relative_to(root).as_posix(),
        boxes=places_in(report),
    )


_PMID = re.compile(r"\bPMID:? ?(\d+)")
_PIECE = re.compile(r"#\d+$")


def _documents(source: Source) -> list[str]:
    """What a cited passage is from, as benchmarks name their gold: the PMIDs of its citation, else the document's own
    id, which the passage's `<source>/<document>#n` holds."""
    return _PMID.findall(source.citation) or [_PIECE.sub("", source.name.partition("/")[2] or source.name)]


def _why(report: Report, records: Sequence[Record]) -> str:
    """What an abstention says, else the first limitation that is not the engine's standing caveat."""
    caveat = records[0].request["config"]["caveat"]
    return report.answer or next((note for note in report.limitations if note != caveat), "")


def places_in(report: Report) -> tuple[Place, ...] | None:
    """The boxes of the evidence that the claims cite, on the image most of them lie on, in the order of evidence;
    None without any. A box is called by the finding or the name of its evidence, and counts once."""
    cited = {name for claim in report.claims for name in claim.evidence}
    boxed = [
        (item.region.image, item.region.box_px, item.finding or item.name)
        for item in report.evidence
        if item.id in cited and item.region is not None and item.region.box_px is not None
    ]
    if not boxed:
        return None
    images = Counter(image for image, _, _ in boxed)
    most = min(images, key=lambda image: (-images[image], image))
    labels: dict[Box, str] = {}
    for image, box, label in boxed:
        if image == most:
            labels.setdefault(box, label)
    return tuple(Place(label=label, box=box) for box, label in labels.items())


def _silence(report: Report, records: Sequence[Record]) -> Silence:
    """Why a report answers nothing.

    The attending's own missing reply decides where the attending was asked, for the report hangs on it. Else it is the
    first of these that is true of any agent's last call: a deadline passed (timed_out), what came could not be used
    (unparsable), it was refused or there was none (failed).
    """
    if report.status in ("abstained", "needs_human"):
        return report.status
    last = {record.scope: record for record in records if record.kind == "chat"}  # an agent's calls come one by one
    asked = [last[ATTENDING]] if ATTENDING in last else list(last.values())
    missing = {_missing(record) for record in asked}
    return next((silence for silence in BY_WEIGHT if silence in missing), "failed")


def _missing(record: Record) -> Silence:
    """Why a call brought no reply, empty where it brought one."""
    if record.error is not None:
        return "timed_out" if DecisionError.from_record(record.error).cause == "late" else "failed"
    return "unparsable" if (record.result or {}).get("value") is None else ""
