"""Objects found in pictures against the objects there: boxes by their overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...core.errors import InputError

Corners: TypeAlias = tuple[float, float, float, float]
"""[x0, y0, x1, y1) in px."""
There: TypeAlias = tuple[str, Corners]
"""An object that is there: its label and its box."""
Found: TypeAlias = tuple[str, Corners, float]
"""An object that was found: its label, its box, and a score that rises with the belief in it."""
Floats = NDArray[np.float64]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""The overlaps from which COCO takes a box for found."""
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = 100
"""As many boxes of one label count in one picture, those with the highest scores."""


def box_iou(said: ArrayLike, truth: ArrayLike) -> Floats:
    """[n, m]: area of the common part over area of both, for boxes [n, 4] and [m, 4] as [x0, y0, x1, y1).

    A box without area overlaps nothing. Raises InputError where x1 < x0, y1 < y0 or a corner is not finite.
    """
    ours, theirs = _boxes(said), _boxes(truth)
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    common = np.clip(high - low, 0.0, None).prod(axis=2)
    whole = _area(ours)[:, None] + _area(theirs)[None, :] - common
    return np.asarray(np.divide(common, whole, out=np.zeros_like(common), where=whole > 0), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Precision:
    """COCO's average precision: at IoU 0.50, the mean over IoU 0.50 to 0.95 by 0.05, and for each label at 0.50."""

    at_50: float
    mean: float
    each_at_50: Mapping[str, float]


def mean_average_precision(truth: Sequence[Sequence[There]], said: Sequence[Sequence[Found]]) -> Precision:
    """Average precision over labels, as pycocotools has it for boxes of any size (Lin et al., ECCV 2014).

    One sequence of objects per picture, pictures in the same order in both. In a picture the boxes of a label are
    taken by falling score, each for the box there that it overlaps most of those not yet taken, if by the threshold
    or more; at most 100 of a label. Precision is made never to rise with recall and read off at 101 recalls. A
    label counts if it is there in some picture: boxes of other labels are not seen, and without any label it is NaN.

    COCO leaves open what equal scores mean. Here they enter the curve together, so that no order of pictures decides
    (a model that gives no scores has one point on its curve); within a picture they are taken by their corners, as are
    truths of equal overlap. With scores that differ, and truths listed by their corners, the figures are
    pycocotools's own.
    """
    if len(truth) != len(said):
        raise InputError(
            expected="objects for the same pictures", got=f"{len(truth)} and {len(said)} pictures",
            fix="give an empty sequence for a picture without objects",
        )  # fmt: skip
    everything = np.arange(len(truth))
    each = {
        label: curve(label, truth, said).precision(everything)
        for label in sorted({name for there in truth for name, _ in there})
    }
    if not each:
        return Precision(at_50=math.nan, mean=math.nan, each_at_50={})
    table = np.stack(list(each.values()))
    return Precision(
        at_50=float(table[:, 0].mean()), mean=float(table.mean()),
        each_at_50={label: float(row[0]) for label, row in each.items()},
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The n boxes of one label in all pictures, surest first: whether each takes one that is there, at each threshold
    [n, 10], the picture it is in [n], and where runs of equal scores end; and how many are there in each picture."""

    hits: NDArray[np.bool_]
    picture: NDArray[np.int64]
    last: NDArray[np.int64]
    there: NDArray[np.int64]

    def precision(self, index: NDArray[np.int64]) -> Floats:
        """[10]: the average precision at each threshold of the pictures drawn, which repeat; NaN where none is
        there."""
        times = np.bincount(index, minlength=len(self.there))
        total = int(times @ self.there)
        if not total:
            return np.full(len(THRESHOLDS), np.nan)
        if not len(self.last):
            return np.zeros(len(THRESHOLDS))
        weight = times[self.picture]
        given = np.cumsum(weight)[self.last]
        hits = np.cumsum(weight[:, None] * self.hits, axis=0)[self.last]
        return np.array([_area_under(column, given, total) for column in hits.T])


def curve(label: str, truth: Sequence[Sequence[There]], said: Sequence[Sequence[Found]]) -> Curve:
    """The curve of one label; pictures in the same order in both, boxes taken as `mean_average_precision` says."""
    scores: list[float] = []
    taken: list[NDArray[np.bool_]] = []
    picture: list[int] = []
    for number, (there, found) in enumerate(zip(truth, said, strict=True)):
        boxes = sorted(box for name, box in there if name == label)
        ranked = sorted((-score, box) for name, box, score in found if name == label)[:MOST]
        scores += [-score for score, _ in ranked]
        taken += _taken(box_iou([box for _, box in ranked], boxes))
        picture += [number] * len(ranked)
    if np.isnan(scores).any():
        raise InputError(expected="a score for each box", got="NaN", fix="give all boxes one score if they have none")
    order = np.argsort(-np.array(scores), kind="stable")
    falling = np.array(scores)[order]
    ends = np.flatnonzero(falling[1:] != falling[:-1])
    return Curve(
        hits=np.array(taken, dtype=np.bool_).reshape(-1, len(THRESHOLDS))[order],
        picture=np.array(picture, dtype=np.int64)[order],
        last=np.append(ends, len(scores) - 1) if scores else ends,
        there=np.array([sum(name == label for name, _ in each) for each in truth], dtype=np.int64),
    )


def _taken(overlap: Floats) -> list[NDArray[np.bool_]]:
    """For each box of one picture, best first, whether it takes one that is there, at each threshold."""
    least = np.minimum(THRESHOLDS, 1.0 - 1e-10)
    rows, free = np.arange(len(least)), np.ones((len(least), overlap.shape[1]), dtype=np.bool_)
    taken = []
    for row in overlap:
        if not len(row):
            taken.append(np.zeros(len(least), dtype=np.bool_))
            continue
        open_to = np.where(free & (row >= least[:, None]), row, -1.0)
        best = len(row) - 1 - open_to[:, ::-1].argmax(axis=1)  # the last of equals, as pycocotools
        hit = open_to[rows, best] >= 0
        free[rows[hit], best[hit]] = False
        taken.append(hit)
    return taken


def _area_under(hits: NDArray[np.int64], given: NDArray[np.int64], count: int) -> float:
    recall = hits / count
    falling = np.maximum.accumulate((hits / np.maximum(given, 1))[::-1])[::-1]
    places = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(falling, 0.0)[np.minimum(places, len(falling))].mean())


def _boxes(values: ArrayLike) -> Floats:
    boxes = _shaped(values, 4, "boxes [x0, y0, x1, y1)")
    turned = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    if turned.any():
        raise InputError(
            expected="boxes [x0, y0, x1, y1) with x0 ≤ x1 and y0 ≤ y1", got=repr(boxes[turned][0].tolist()),
            fix="give corners, not width and height",
        )  # fmt: skip
    return boxes


def _shaped(values: ArrayLike, wide: int, what: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    array = array.reshape(0, wide) if array.size == 0 else array
    if array.ndim != 2 or array.shape[1] != wide or not np.isfinite(array).all():
        raise InputError(
            expected=f"finite {what}", got=f"an array of shape {array.shape}", fix=f"give {wide} numbers for each"
        )
    return array


def _area(boxes: Floats) -> Floats:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), dtype=np.float64)
