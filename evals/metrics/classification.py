"""Classes and scores against the truth: accuracy, F1, MCC, kappa, and the areas under two curves.

Truth comes first in every function. A figure that is not defined for what it is given is NaN, never 0 or 1: which
figures that is stands with each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...core.errors import InputError

Label: TypeAlias = str | int


def accuracy(truth: Sequence[Label], said: Sequence[Label]) -> float:
    """The share that is right; NaN of no items."""
    _alike(truth, said)
    return sum(a == b for a, b in zip(truth, said, strict=True)) / len(truth) if truth else math.nan


def classes_of(truth: Sequence[Label], said: Sequence[Label]) -> tuple[Label, ...]:
    """Every class that occurs in one of them, in order."""
    return tuple(sorted({*truth, *said}, key=lambda label: (isinstance(label, str), label)))


def confusion(
    truth: Sequence[Label], said: Sequence[Label], classes: Sequence[Label] | None = None
) -> NDArray[np.int64]:
    """[k, k]: how often class i was taken for class j. `classes` orders rows and columns; all that occur, sorted.

    Raises InputError for a label that is none of the classes.
    """
    _alike(truth, said)
    names = classes_of(truth, said) if classes is None else tuple(classes)
    places = {name: place for place, name in enumerate(names)}
    strangers = sorted({repr(label) for label in (*truth, *said) if label not in places})
    if strangers:
        raise InputError(
            expected=f"labels among {list(names)!r}",
            got=", ".join(strangers[:5]),
            fix="add what is missing to the classes",
        )
    cells = [places[a] * len(names) + places[b] for a, b in zip(truth, said, strict=True)]
    return np.bincount(np.array(cells, np.int64), minlength=len(names) ** 2).reshape(len(names), len(names))


def f1_of_each(truth: Sequence[Label], said: Sequence[Label], classes: Sequence[Label]) -> NDArray[np.float64]:
    """[k]: the F1 of each class against all others; 0 for a class that is never said rightly, occurring or not."""
    table = confusion(truth, said, tuple(dict.fromkeys((*classes, *classes_of(truth, said)))))
    hits, both = np.diag(table), table.sum(axis=0) + table.sum(axis=1)
    shares = np.divide(2.0 * hits, both, out=np.zeros(len(hits)), where=both > 0)
    return np.asarray(shares[: len(classes)], dtype=np.float64)


def macro_f1(truth: Sequence[Label], said: Sequence[Label], classes: Sequence[Label] | None = None) -> float:
    """The mean F1 of the classes, all weighing alike; of those that occur in truth or answers unless given.

    A given class that never occurs counts with F1 0. A label outside the given classes (a silence) is wrong and has
    no F1 of its own. No items: NaN.
    """
    _alike(truth, said)
    names = classes_of(truth, said) if classes is None else tuple(classes)
    return float(f1_of_each(truth, said, names).mean()) if truth and names else math.nan


def mcc(truth: Sequence[Label], said: Sequence[Label]) -> float:
    """Matthews' correlation coefficient, for any number of classes (R_K: Gorodkin 2004), in [-1, 1].

    0 where truth or answers are all of one class, as Chicco & Jurman 2020 have it: no relation is shown. No items: NaN.
    """
    if not truth:
        _alike(truth, said)
        return math.nan
    table = confusion(truth, said).astype(np.float64)
    there, given, total = table.sum(axis=1), table.sum(axis=0), table.sum()
    spread = (total**2 - (there**2).sum()) * (total**2 - (given**2).sum())
    if spread == 0.0:
        return 0.0
    return float((np.trace(table) * total - there @ given) / math.sqrt(spread))


def kappa(
    truth: Sequence[Label],
    said: Sequence[Label],
    *,
    weights: Literal["none", "linear", "quadratic"] = "none",
    classes: Sequence[Label] | None = None,
) -> float:
    """Cohen's kappa (1960), or weighted (1968) by the distance of two classes in the order of `classes`.

    NaN where chance alone would agree always: both hold one and the same class only; or of no items. Weighted kappa
    means something only where `classes` gives the grades in their order, unused ones included.
    """
    table = confusion(truth, said, classes).astype(np.float64)
    apart = np.abs(np.subtract.outer(np.arange(len(table)), np.arange(len(table)))).astype(np.float64)
    weight = {"none": (apart > 0).astype(np.float64), "linear": apart, "quadratic": apart**2}[weights]
    total = table.sum()
    if total == 0.0:
        return math.nan
    by_chance = float((weight * np.outer(table.sum(axis=1), table.sum(axis=0))).sum()) / float(total)
    return 1.0 - float((weight * table).sum()) / by_chance if by_chance else math.nan


def auroc(truth: ArrayLike, scores: ArrayLike) -> float:
    """The share of pairs of one positive and one negative in which the positive scores higher; ties count half.

    `truth` [n] is true of positives, `scores` [n] rise with the belief in them. Equal to the area under the ROC curve
    (Hanley & McNeil 1982). NaN where one class is missing.
    """
    positive, score = _scored(truth, scores)
    mine, others = score[positive], np.sort(score[~positive])
    if not len(mine) or not len(others):
        return math.nan
    below, up_to = (np.searchsorted(others, np.sort(mine), side) for side in _SIDES)
    return float(below.sum() + up_to.sum()) / (2.0 * len(mine) * len(others))


def average_precision(truth: ArrayLike, scores: ArrayLike) -> float:
    """The precision at each threshold, weighted by the recall gained there, without interpolation.

    Equal scores share one threshold, so their order means nothing. NaN without positives, 1 without negatives.
    """
    positive, score = _scored(truth, scores)
    if not positive.any():
        return math.nan
    order = np.argsort(-score, kind="stable")
    falling = score[order]
    last = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(score) - 1)
    hits = np.cumsum(positive[order])[last].astype(np.float64)
    return float((np.diff(hits, prepend=0.0) * hits / (last + 1.0)).sum() / hits[-1])


_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


def _alike(truth: Sequence[Any], said: Sequence[Any]) -> None:
    if len(truth) != len(said):
        raise InputError(
            expected="as many answers as truths", got=f"{len(said)} and {len(truth)}", fix="give one for each item"
        )


def _scored(truth: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    positive, score = np.asarray(truth).astype(np.bool_), np.asarray(scores, dtype=np.float64)
    if positive.shape != score.shape or score.ndim != 1 or np.isnan(score).any():
        raise InputError(
            expected="a truth and a score, not NaN, for each item",
            got=f"shapes {positive.shape} and {score.shape}, {int(np.isnan(score).sum())} NaN",
            fix="leave out the items without a score and say how many they are",
        )
    return positive, score
