"""The figures of a whole set that no single row has: average precision, AUROC, means with their intervals.

Intervals are over groups of like samples, whole groups at a time. What is undefined is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .metrics.classification import auroc
from .metrics.detection import RECALLS, box_iou
from .outcomes import ANSWERED, Place, Row
from .statistics.intervals import FEW_GROUPS, interval, mean_interval

Floats: TypeAlias = NDArray[np.float64]
LEAST_IOU = 0.5
SHARES = frozenset({"Dice", "IoU", "F1 at IoU 0.5", "IoU of what is there", "matched share"})
"""Scores from 0 to 1 of which 0 is that nothing was found."""


@dataclass(frozen=True, kw_only=True)
class SetScore:
    """A figure of `n` rows with its 95 % interval, NaN where they are too few or too like to tell."""

    value: float
    low: float
    high: float
    n: int


def set_scores(rows: Sequence[Row]) -> Mapping[str, SetScore]:
    """The figures of the rows of one benchmark and arm, by name: the mean of every score of the answered rows, of
    shares also over all rows with 0 where there is no answer, and what boxes and probabilities amount to."""
    answered = [row for row in rows if row.outcome in ANSWERED]
    names = dict.fromkeys(name for row in answered for name in row.scores)
    with_chances = [row for row in rows if row.said.chances]
    return _means(answered, names) | _over_all(rows, names) | _precisions(answered) | _of_chances(with_chances)


def _figure(statistic: Callable[[NDArray[np.int64]], float], rows: Sequence[Row]) -> SetScore:
    groups = [row.group for row in rows]
    few = len(set(groups)) < FEW_GROUPS
    low, high = (math.nan, math.nan) if few else interval(statistic, groups)
    return SetScore(value=statistic(np.arange(len(rows))), low=low, high=high, n=len(rows))


def _mean(values: Sequence[float], rows: Sequence[Row]) -> SetScore:
    bounds = {"least": 0.0 if min(values) >= 0.0 else -math.inf, "most": 1.0 if max(values) <= 1.0 else math.inf}
    low, high = mean_interval(values, [row.group for row in rows], **bounds)
    return SetScore(value=float(np.mean(values)), low=low, high=high, n=len(rows))


def _means(rows: Sequence[Row], names: Mapping[str, None]) -> dict[str, SetScore]:
    found = {}
    for name in sorted(names):
        having = [row for row in rows if name in row.scores]
        found[f"mean {name}"] = _mean([row.scores[name] for row in having], having)
    return found


def _over_all(rows: Sequence[Row], names: Mapping[str, None]) -> dict[str, SetScore]:
    """So that a miss cannot better a mean by being left out; only where something was left out."""
    found = {}
    for name in sorted(SHARES & names.keys()):
        if all(name in row.scores for row in rows):
            continue
        found[f"mean {name} over all"] = _mean([row.scores.get(name, 0.0) for row in rows], rows)
    return found


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The boxes of one label in all pictures, surest first: whether each takes one that is there, the picture it is
    in, and where a run of equal scores ends; and how many are there in each picture."""

    hits: NDArray[np.bool_]
    picture: NDArray[np.int64]
    last: NDArray[np.int64]
    there: NDArray[np.int64]

    def precision(self, index: NDArray[np.int64]) -> float:
        """COCO's average precision at an IoU of 0.5 of the pictures drawn, which repeat; NaN where none is there."""
        times = np.bincount(index, minlength=len(self.there))
        total = int((times * self.there).sum())
        if not total:
            return math.nan
        weight = times[self.picture]
        hits, given = (np.cumsum(each)[self.last] for each in (weight * self.hits, weight))
        if not len(given):
            return 0.0
        falling = np.maximum.accumulate((hits / np.maximum(given, 1))[::-1])[::-1]
        places = np.searchsorted(hits / total, RECALLS, side="left")
        return float(np.append(falling, 0.0)[np.minimum(places, len(falling))].mean())


def curve(label: str, truth: Sequence[Sequence[Place]], said: Sequence[Sequence[Place]]) -> Curve:
    """The curve of one label; pictures in the same order in both. Boxes take what is there as in
    `mean_average_precision`: the surest first, each the one it overlaps most of those left, by half or more."""
    scores: list[float] = []
    hits: list[bool] = []
    picture: list[int] = []
    for number, (there, found) in enumerate(zip(truth, said, strict=True)):
        ranked = sorted((-place.score, place.box) for place in found if place.label == label)[:100]
        overlap = box_iou([box for _, box in ranked], sorted(place.box for place in there if place.label == label))
        scores += [-score for score, _ in ranked]
        hits += _taken(overlap)
        picture += [number] * len(ranked)
    order = np.argsort(-np.array(scores), kind="stable")
    ends = np.flatnonzero(np.diff(np.array(scores)[order])) if scores else np.array([], dtype=np.int64)
    return Curve(
        hits=np.array(hits, dtype=np.bool_)[order],
        picture=np.array(picture, dtype=np.int64)[order],
        last=np.append(ends, len(scores) - 1).astype(np.int64) if scores else ends,
        there=np.array([sum(place.label == label for place in each) for each in truth], dtype=np.int64),
    )


def _taken(overlap: Floats) -> list[bool]:
    free = np.ones(overlap.shape[1], dtype=np.bool_)
    taken = []
    for row in overlap:
        open_to = np.where(free & (row >= LEAST_IOU - 1e-10), row, -1.0)
        best = len(row) - 1 - int(open_to[::-1].argmax()) if len(row) else 0  # the last of equals, as pycocotools
        hit = bool(len(row)) and bool(open_to[best] >= 0)
        if hit:
            free[best] = False
        taken.append(hit)
    return taken


def _precisions(rows: Sequence[Row]) -> dict[str, SetScore]:
    """Average precision of each label at an IoU of 0.5, and its mean, where boxes were said at all."""
    having = [row for row in rows if row.said.boxes is not None]
    labels = sorted({place.label for row in having for place in row.there})
    if not labels:
        return {}
    truth, said = [row.there for row in having], [row.said.boxes or () for row in having]
    if len(labels) == 1:  # one thing is sought: what its box is called says nothing
        said = [tuple(place.model_copy(update={"label": labels[0]}) for place in each) for each in said]
    curves = {label: curve(label, truth, said) for label in labels}

    def mean(index: NDArray[np.int64]) -> float:
        each = np.array([curves[label].precision(index) for label in labels])
        return float(each[~np.isnan(each)].mean()) if not np.isnan(each).all() else math.nan

    found = {"mAP at IoU 0.5": _figure(mean, having)}
    return found | {f"{label} AP at IoU 0.5": _figure(curves[label].precision, having) for label in labels[:8]}


def _of_chances(rows: Sequence[Row]) -> dict[str, SetScore]:
    """Of rows with a probability of every option, whether anything was claimed or not: the AUROC (of two options that
    of the first, of several the mean of each against the others), how often the likeliest is right, and how often an
    option was claimed."""
    if not rows:
        return {}
    letters = sorted({letter for row in rows for letter in row.said.chances})
    truth = np.array([row.target.partition(":")[0] for row in rows])
    chances = {letter: np.array([row.said.chances.get(letter, 0.0) for row in rows]) for letter in letters}
    likeliest = np.array([min(row.said.chances, key=lambda k, row=row: (-row.said.chances[k], k)) for row in rows])  # type: ignore[misc]
    decided = np.array([row.outcome in ANSWERED for row in rows], dtype=np.float64)
    sought = letters[:1] if len(letters) == 2 else letters

    def ranked(index: NDArray[np.int64]) -> float:
        each = np.array([auroc(truth[index] == letter, chances[letter][index]) for letter in sought])
        return float(each[~np.isnan(each)].mean()) if not np.isnan(each).all() else math.nan

    return {
        "AUROC": _figure(ranked, rows),
        "accuracy of the likeliest option": _mean((likeliest == truth).astype(float).tolist(), rows),
        "share of pictures it decides": _mean(decided.tolist(), rows),
    }
