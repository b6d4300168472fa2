"""What an answer rests on: evidence with its source, and the claims that cite it. It does not judge either."""

from __future__ import annotations

import datetime
from typing import Literal, TypeAlias

from pydantic import Field

from .frozen import Frozen

EvidenceKind: TypeAlias = Literal[
    "measurement", "segmentation", "classification", "passage", "similar_case", "prior_visit", "criterion",
    "observation",
]  # fmt: skip
Support: TypeAlias = Literal["supported", "unsupported", "contradicted"]


class Source(Frozen):
    """Where evidence comes from: a tool, a document, the case itself, an earlier visit or a rule.

    `span` is the cited stretch of the document's text, [start, end) in characters; `licence` is the document's.
    """

    kind: Literal["tool", "document", "case", "visit", "criterion"]
    name: str
    version: str = ""
    citation: str = ""
    licence: str = ""
    span: tuple[int, int] | None = None


class Region(Frozen):
    """A place on an image: a box [x0, y0, x1, y1) in pixels and, where there is one, a mask blob (PNG, 0/255)."""

    image: str
    box_px: tuple[int, int, int, int] | None = None
    mask: str | None = None


class Evidence(Frozen):
    """One fact that a claim may cite.

    `id` is made of the agent that asked for it and a running number (`radiology.t1`): it does not depend on what
    finished first. `value` carries `unit` and, where the tool knows it, `uncertainty` in the same unit. `score` is
    how well a passage matched what was looked for. `span_id` is the step of the trace that produced it.
    `modality`, `body_part`, `view` and `laterality` are those of the measured image, or the modality a document is
    about, where they are known; `date` is when the image was acquired, the visit took place or the document was dated.
    `of` are the ids of the evidence it was worked out from. `finding` is the ontology's id of what a tool took to be
    there or not, as `says` has it.
    """

    id: str
    kind: EvidenceKind
    content: str
    name: str = ""
    value: float | None = None
    unit: str = ""
    uncertainty: float | None = None
    score: float | None = None
    source: Source
    region: Region | None = None
    span_id: str = ""
    modality: str = ""
    body_part: str = ""
    view: str = ""
    laterality: Literal["left", "right", "bilateral"] | None = None
    date: datetime.date | None = None
    of: tuple[str, ...] = ()
    finding: str = ""
    says: Literal["present", "absent", "undecided", ""] = ""


class Claim(Frozen):
    """One statement and the ids of the evidence it rests on. `support` and `why` are set by verification only."""

    text: str
    evidence: tuple[str, ...] = Field(default=())
    support: Support = "unsupported"
    why: str = ""
