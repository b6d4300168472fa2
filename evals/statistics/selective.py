"""Confidence against being right: what is gained by answering only when sure, and whether 0.8 means eight in ten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...core.errors import InputError
from .intervals import share_interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Point:
    """If only answers of at least this confidence are given: the share that is given, and the share wrong of these."""

    confidence: float
    coverage: float
    risk: float


def risk_coverage(confidence: ArrayLike, right: ArrayLike, *, asked: int | None = None) -> tuple[Point, ...]:
    """The risk–coverage curve (El-Yaniv & Wiener, JMLR 2010), from the surest answers to all.

    One point for each confidence that occurs: answers of one confidence can only be given together. `asked` is the
    number of samples of which coverage is a share, those without an answer or confidence included; the number of
    answers unless told. No answers: no points.
    """
    sure, good = _checked(confidence, right)
    total = len(sure) if asked is None else asked
    if total < len(sure):
        raise InputError(
            expected="as many samples as answers or more",
            got=f"{total} for {len(sure)}",
            fix="count all that were asked",
        )
    values, sizes, wrong = _levels(sure, good)
    given = np.cumsum(sizes)
    return tuple(
        Point(confidence=float(value), coverage=float(n / total), risk=float(errors / n))
        for value, n, errors in zip(values, given, np.cumsum(wrong), strict=True)
    )


def aurc(confidence: ArrayLike, right: ArrayLike) -> float:
    """The area under the risk–coverage curve: the mean risk of the surest 1, 2, … n (Geifman & El-Yaniv, ICLR 2019).

    Among answers of one confidence every order is as good as another: the figure is its expectation over all of
    them, so that it depends on no order, and one confidence for all gives the error rate. Less is better; no answers:
    NaN.
    """
    sure, good = _checked(confidence, right)
    if not len(sure):
        return math.nan
    _, sizes, wrong = _levels(sure, good)
    before, errors_before = np.cumsum(sizes) - sizes, np.cumsum(wrong) - wrong
    within = np.arange(1, len(sure) + 1) - np.repeat(before, sizes)
    errors = np.repeat(errors_before, sizes) + within * np.repeat(wrong / sizes, sizes)
    return float((errors / np.arange(1, len(sure) + 1)).mean())


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Answers of like confidence: the least and greatest of it, its mean, the share that is right with its 95 %
    interval, and how many."""

    low: float
    high: float
    confidence: float
    accuracy: float
    within: tuple[float, float]
    n: int


def reliability(
    confidence: ArrayLike, right: ArrayLike, *, bins: int = 10, by: Literal["width", "mass"] = "width",
    groups: Sequence[str] | None = None,
) -> tuple[Bin, ...]:  # fmt: skip
    """The points of a reliability diagram, by rising confidence; empty bins are left out.

    `width`: bins of equal width, (low, high], the first with 0 (Guo et al., ICML 2017); `low` and `high` are its
    bounds. `mass`: bins of about equal number (Nguyen & O'Connor, EMNLP 2015); answers of one confidence are never
    parted, but go where the middle of them falls, so bins may be uneven or fewer; `low` and `high` are their own least
    and greatest confidence. `groups` names what makes answers alike, each by itself unless told. Raises InputError for
    a confidence outside [0, 1].
    """
    sure, good = _checked(confidence, right)
    if len(sure) and not (sure.min() >= 0.0 and sure.max() <= 1.0):
        outside = float(sure[(sure < 0.0) | (sure > 1.0)][0])
        raise InputError(expected="confidences in [0, 1]", got=repr(outside), fix="give probabilities")
    if by == "width":
        edges = np.linspace(0.0, 1.0, bins + 1)
        place = np.searchsorted(edges[1:-1], sure)
    else:
        ordered = np.sort(sure)
        middle = (np.searchsorted(ordered, sure, "left") + np.searchsorted(ordered, sure, "right")) / 2.0
        place = np.floor(middle * bins / max(1, len(sure))).astype(np.int64)
        edges = None
    found = []
    like = np.array(range(len(sure)) if groups is None else groups, dtype=object).astype(str)
    for number in np.unique(place):
        here, well = sure[place == number], good[place == number]
        low, high = (here.min(), here.max()) if edges is None else (edges[number], edges[number + 1])
        found.append(
            Bin(
                low=float(low), high=float(high), confidence=float(here.mean()),
                accuracy=float(well.mean()), n=len(here),
                within=share_interval((well > 0).tolist(), like[place == number].tolist()),
            )
        )  # fmt: skip
    return tuple(found)


def calibration_error(
    confidence: ArrayLike, right: ArrayLike, *, bins: int = 10, by: Literal["width", "mass"] = "width"
) -> float:
    """ECE: the mean gap of confidence and accuracy over the bins of `reliability`, weighted by their numbers.

    It depends on the bins and is above 0 by chance alone for few answers: state bins and n beside it. None: NaN.
    """
    found = reliability(confidence, right, bins=bins, by=by)
    total = sum(one.n for one in found)
    return sum(one.n * abs(one.confidence - one.accuracy) for one in found) / total if total else math.nan


def brier(confidence: ArrayLike, right: ArrayLike) -> float:
    """The mean squared difference of confidence and being right, 1 or 0 (Brier 1950, of the given answer alone).

    0 is best; always 0.5 gives 0.25. No answers: NaN.
    """
    sure, good = _checked(confidence, right)
    return float(((sure - good) ** 2).mean()) if len(sure) else math.nan


def _checked(confidence: ArrayLike, right: ArrayLike) -> tuple[Floats, Floats]:
    sure, good = np.asarray(confidence, dtype=np.float64), np.asarray(right).astype(np.float64)
    if sure.shape != good.shape or sure.ndim != 1 or np.isnan(sure).any() or not np.isin(good, (0.0, 1.0)).all():
        raise InputError(
            expected="a confidence, not NaN, and right or wrong for each answer",
            got=f"shapes {sure.shape} and {good.shape}, {int(np.isnan(sure).sum())} NaN",
            fix="leave out answers without a confidence and say how many they are",
        )
    return sure, good


def _levels(sure: Floats, good: Floats) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Each confidence that occurs, highest first, with the number of answers and of wrong ones."""
    values, place = np.unique(-sure, return_inverse=True)
    wrong = np.bincount(place, 1.0 - good, minlength=len(values)).astype(np.float64)
    return -values, np.bincount(place, minlength=len(values)).astype(np.int64), wrong
