"""One item of a benchmark: a case, what is right, and what it belongs to. It does not score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ..core.case import Case
from ..tools.card import Box


@dataclass(frozen=True, kw_only=True)
class Letter:
    """The letter of the right option."""

    letter: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One short answer: any of `accepted` is right; the first is the one that is shown."""

    accepted: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Several short answers, each with its synonyms; their order means nothing."""

    items: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """Objects on the case's first image, each a box [x0, y0, x1, y1) in px with its label."""

    boxes: tuple[tuple[str, Box], ...]


@dataclass(frozen=True, kw_only=True)
class Points:
    """Objects on the case's first image, each a point (x, y) in px with its label; their number is a count."""

    points: tuple[tuple[str, tuple[float, float]], ...]


Target: TypeAlias = Letter | Answer | Answers | Boxes | Points


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A case with what is right.

    `group` names what makes samples alike (patient, image, document): intervals are drawn over groups. `facets` are
    what tables are split by, such as modality and department. `gold` names the evidence the answer rests on, as the
    benchmark does (PMIDs). `asked_with` names what samples count together under (a pair, the steps of one picture).
    `known` is what a patient or a chart would say when it is asked for: topic to text, none of it part of the case.
    """

    case: Case
    target: Target
    group: str
    facets: Mapping[str, str] = field(default_factory=dict)
    gold: tuple[str, ...] = ()
    asked_with: str = ""
    known: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.case.id
