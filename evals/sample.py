"""One item of a benchmark: a case, what is right, and what it belongs to. It does not score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
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


@dataclass(frozen=True, kw_only=True)
class Mask:
    """A region of the case's first image, in a file of the image's size.

    It is what is brighter than half of white or, with `colours`, what differs from one of them by less than `tolerance`
    over all channels. With `instances` pixels are numbers, each of one object called `label`, 0 of none. With
    `field` only what the camera saw counts: the lit disc of a fundus photograph.
    """

    path: Path
    label: str
    colours: tuple[tuple[int, int, int], ...] = ()
    tolerance: int = 0
    instances: bool = False
    field: bool = False


Target: TypeAlias = Letter | Answer | Answers | Boxes | Points | Mask


@dataclass(frozen=True, kw_only=True)
class Sought:
    """Where the answer to a sample stands in the output of an expert tool, by the names that tools share.

    `findings` names the finding of the ontology that each letter stands for, "" for none of the others'; `region` the
    measurement whose mask is the region; `labels` turns what tools call an object into what the set calls it; `counts`
    names the measurement that counts the objects of a label.
    """

    findings: Mapping[str, str] = field(default_factory=dict)
    region: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A case with what is right.

    `group` names what makes samples alike (patient, image, document): intervals are drawn over groups. `facets` are
    what tables are split by, such as modality and department. `gold` names the evidence the answer rests on, as the
    benchmark does (PMIDs). `asked_with` names what samples count together under (a pair, the steps of one picture).
    `made_of` names the documents the sample was written from, and `gives_away` holds texts of the set that tell its
    answer, such as an explanation: nobody may look them up, and they are no part of the case.
    `known` is what a patient or a chart would say when it is asked for: topic to text, none of it part of the case.
    `sought` is for expert tools that answer by themselves.
    """

    case: Case
    target: Target
    group: str
    facets: Mapping[str, str] = field(default_factory=dict)
    gold: tuple[str, ...] = ()
    made_of: tuple[str, ...] = ()
    gives_away: tuple[str, ...] = ()
    asked_with: str = ""
    known: Mapping[str, str] = field(default_factory=dict)
    sought: Sought = Sought()

    @property
    def id(self) -> str:
        return self.case.id
