"""Boxes that a model wrote in its text, as regions of the original image. It knows no model and never raises on a text.

Models write places in many ways: JSON with `bbox_2d`, `<ref>…</ref><box>[[…]]</box>`, pairs of corners, `<loc0512>`
tokens, or four bare numbers. What the numbers mean is the model's convention (profiles.py) and not visible in the text:

    absolute   pixels of the image as the model saw it, after every resizing
    thousand   thousandths of the image's width and height
    unit       fractions of the width and height
    none       the model was not trained to point: bare numbers are not taken for a box

Two forms bring their own convention: `box_2d` (Gemini, MedGemma: y first, thousandths) and `<locNNNN>` (PaliGemma:
y first, in 1024 steps).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Convention: TypeAlias = Literal["absolute", "thousand", "unit", "none"]
Order: TypeAlias = Literal["xyxy", "yxyx"]
Size: TypeAlias = tuple[int, int]
Quad: TypeAlias = tuple[float, float, float, float]

MAX_CHARACTERS = 200_000
MAX_BOXES = 100
MAX_DEPTH = 32
MAX_LABEL = 200
LOC_STEPS = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A labelled box in the original image's pixels, half-open [x0, y0, x1, y1) like core.evidence.Region.box_px."""

    label: str
    box_px: tuple[int, int, int, int]


# Every repetition below is bounded, so that the scan takes time linear in the text whatever the text is.
_GAP = r"\s{0,16}"
_NUMBER = r"[-+]?(?:\d{1,9}(?:\.\d{0,12})?|\.\d{1,12})(?:[eE][-+]?\d{1,3})?"
_COMMA = rf"{_GAP},{_GAP}"
_POINT = rf"\({_GAP}{_NUMBER}{_COMMA}{_NUMBER}{_GAP}\)"
_EVENT = re.compile(
    rf"(?P<quad>\[{_GAP}{_NUMBER}(?:{_COMMA}{_NUMBER}){{3}}{_GAP}\])"
    rf"|(?P<corners>{_POINT}(?:{_GAP},)?{_GAP}{_POINT})"
    rf"|(?P<loc>(?:<loc\d{{4}}>{_GAP}){{4}})(?P<locname>[^<>;\n]{{0,{MAX_LABEL}}})"
    rf"|<(?:ref|\|object_ref_start\|)>(?P<ref>[^<>]{{0,{MAX_LABEL}}})</?(?:ref|\|object_ref_end\|)>"
    r"|(?P<end></box>|<\|box_end\|>)"
    rf"|(?P<q>[\"'])(?P<name>label|text|text_content|name)(?P=q){_GAP}:{_GAP}"
    rf"(?:\"(?P<double>(?:[^\"\\\n]|\\.){{0,{MAX_LABEL}}})\"|'(?P<single>[^'\n]{{0,{MAX_LABEL}}})')"
    rf"|[\"'](?P<key>[^\"'\n]{{1,60}})[\"']{_GAP}:"
    r"|(?P<open>\{)|(?P<close>\})"
)
_NUMBERS = re.compile(_NUMBER)
_FULL = {"thousand": 1000, "unit": 1, "loc": LOC_STEPS}  # what the far edge of the image is called
_BOX_KEYS = {"bbox_2d", "bbox", "box", "boxes", "bboxes", "bounding_box"}


@dataclass(slots=True)
class _Found:
    """A box as written: four numbers, what they mean, and the label once it is known."""

    quad: Quad
    convention: Convention | Literal["loc"]
    order: Order
    label: str = ""


@dataclass(slots=True)
class _Frame:
    """A JSON object that is still open: where its boxes begin and the label it has given so far."""

    start: int
    label: str = ""


@dataclass(slots=True)
class _Scan:
    """The state of one pass over the text, from left to right."""

    convention: Convention
    order: Order
    found: list[_Found] = field(default_factory=list)
    frames: list[_Frame] = field(default_factory=list)
    ref: str = ""
    key: str = ""  # the JSON key whose value is being read

    def see(self, event: re.Match[str]) -> None:
        kind = event.lastgroup
        if event["quad"] or event["corners"]:
            self._box(event[0])
        elif event["loc"]:
            y0, x0, y1, x1 = (float(step) for step in re.findall(r"\d{4}", event["loc"]))
            self.found.append(_Found((y0, x0, y1, x1), "loc", "yxyx", event["locname"].strip()))
        elif event["ref"] is not None:
            self.ref = event["ref"].strip()
        elif event["end"]:
            self.ref = ""
        elif event["name"]:
            self._label(event)
        elif event["key"]:
            self.key = event["key"]
        elif kind == "open":
            self.key = ""
            if len(self.frames) < MAX_DEPTH:
                self.frames.append(_Frame(len(self.found)))
        else:
            self.key = ""
            self.close()

    def close(self) -> None:
        """The innermost JSON object ends: its label belongs to the boxes in it that have none."""
        if self.frames:
            frame = self.frames.pop()
            for one in self.found[frame.start :]:
                one.label = one.label or frame.label

    def _box(self, written: str) -> None:
        a, b, c, d = (float(number) for number in _NUMBERS.findall(written))
        if self.key == "box_2d":
            self.found.append(_Found((a, b, c, d), "thousand", "yxyx", self.ref))
        elif not self.key or self.key in _BOX_KEYS:  # a list under any other key is some other measurement
            order = "xyxy" if "(" in written else self.order
            self.found.append(_Found((a, b, c, d), self.convention, order, self.ref))

    def _label(self, event: re.Match[str]) -> None:
        self.key = ""
        said = event["single"] or ""
        if event["double"] is not None:
            try:
                said = json.loads(f'"{event["double"]}"')
            except ValueError:
                said = event["double"]
        if self.frames and not self.frames[-1].label:
            self.frames[-1].label = said.strip()


def parse_boxes(
    text: str, convention: Convention, seen_px: Size, original_px: Size, *, order: Order = "xyxy"
) -> tuple[Box, ...]:
    """Every box in `text`, in the order written, in pixels of the original image.

    `seen_px` and `original_px` are (width, height); `order` is how the model writes four bare numbers. Corners are
    put in order and clipped to the image; a box outside it, without area or not finite is left out. A coordinate is off
    by at most half a pixel more than half of the model's own unit. Reads the first MAX_CHARACTERS characters and at
    most MAX_BOXES boxes.
    """
    if min(*seen_px, *original_px) <= 0:
        return ()
    scan = _Scan(convention, order)
    for event in _EVENT.finditer(text[:MAX_CHARACTERS]):
        scan.see(event)
        if len(scan.found) >= MAX_BOXES:
            break
    while scan.frames:  # the reply was cut off: what its open objects said still holds
        scan.close()
    placed = ((one.label, _place(one, seen_px, original_px)) for one in scan.found)
    return tuple(Box(label=label, box_px=box) for label, box in placed if box is not None)


def _place(found: _Found, seen_px: Size, original_px: Size) -> tuple[int, int, int, int] | None:
    """The box in pixels of the original image, or None when nothing of it lies there."""
    if found.convention == "none" or not all(map(math.isfinite, found.quad)):
        return None
    a, b, c, d = found.quad
    xs, ys = ((a, c), (b, d)) if found.order == "xyxy" else ((b, d), (a, c))
    wide, high = seen_px if found.convention == "absolute" else (_FULL[found.convention], _FULL[found.convention])
    x0, x1 = _span(xs, wide, original_px[0])
    y0, y1 = _span(ys, high, original_px[1])
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _span(ends: tuple[float, float], full: float, pixels: int) -> tuple[int, int]:
    """Two ends on a scale of `full`, in order, clipped, in whole pixels."""
    low, high = (min(max(end / full, 0.0), 1.0) * pixels for end in sorted(ends))
    return round(low), round(high)
