"""Intervals of shares and means over items of which whole groups are like: Wilson's, Student's and the bootstrap's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...tools.bootstrap import interval

FEW_GROUPS = 10
"""Groups below which draws say too little: of 2, the bootstrap's 95 % hold the true mean in about 60 %."""


def share_interval(right: Sequence[bool], groups: Sequence[str]) -> tuple[float, float]:
    """The interval of the share that is right: Wilson's, of grouped items with as many as they are worth.

    n items in groups are worth p (1 - p) / V independent ones, V the variance of the share between groups (Korn &
    Graubard, Survey Methodology 1998): at most n, at least as many as if all of a group had one fate (Kish's
    n² / Σ n_g²), and that many where all or none is right or where there are fewer than FEW_GROUPS groups. Quantiles
    are Student's t of the groups.
    What is stated as 95 % holds the true share of 10 to 100 groups of two or five items in 90 to 99 %, of 1 to 15 items
    in 79 to 99 % (shares 0.02 to 0.97, simulated); the bootstrap in 86 to 100 and 74 to 100 %.
    """
    names, belongs = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)
    n, count = len(right), len(names)
    if count == n:
        return wilson(sum(right), n)
    good = np.asarray(right, dtype=np.float64)
    sums, sizes, share = np.bincount(belongs, good), np.bincount(belongs), float(good.mean())
    worth = n * n / float((sizes**2).sum())
    if count < FEW_GROUPS or share in (0.0, 1.0):
        return wilson(share * worth, worth)
    variance = float(((sums - share * sizes) ** 2).sum()) * count / (count - 1) / n**2
    worth = min(float(n), max(worth, share * (1.0 - share) / variance)) if variance > 0.0 else float(n)
    return wilson(share * worth, worth, freedom=count - 1)


def mean_interval(
    values: Sequence[float] | NDArray[np.float64],
    groups: Sequence[str],
    *,
    least: float = -math.inf,
    most: float = math.inf,
    level: float = 0.95,
) -> tuple[float, float]:
    """The interval of a mean over items, of which whole groups are like; within `least` and `most`, NaN where the
    items cannot tell.

    Values that are 0 or 1 and can be nothing beside are shares: see `share_interval`. Of FEW_GROUPS groups or more it
    is `interval`. Of fewer it is Student's t with one degree less than there are groups, over the groups' deviations
    from the mean (Liang & Zeger, Biometrika 1986); of one group, and where all have the same mean, there is none.
    Of 2, 3, 5 and 9 groups of 2 to 11 items what is stated as 95 % holds the true mean in 94, 94, 93 and 90 %; the
    bootstrap in 49, 78, 85 and 85 %, of 10, 20 and 40 groups in 87, 92 and 95 % (simulated).
    """
    numbers = np.asarray(values, dtype=np.float64)
    if (least, most) == (0.0, 1.0) and {*numbers.tolist()} <= {0.0, 1.0}:
        return share_interval([bool(number) for number in numbers], groups)
    names, belongs = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)
    mean = float(numbers.mean())
    if len(names) >= FEW_GROUPS:
        return spread(interval(lambda index: float(numbers[index].mean()), groups, level=level))
    apart = np.bincount(belongs, weights=numbers - mean)
    if len(names) < 2 or np.abs(apart).max() < _NO_SPREAD:
        return math.nan, math.nan
    deviation = math.sqrt(len(names) / (len(names) - 1) * float((apart**2).sum())) / len(numbers)
    wide = quantile(level, len(names) - 1) * deviation
    return max(least, mean - wide), min(most, mean + wide)


_NO_SPREAD = 1e-12


def spread(drawn: tuple[float, float]) -> tuple[float, float]:
    """An interval as it was drawn; NaN where no draw differs from another, for that tells nothing."""
    low, high = drawn
    return drawn if high - low > _NO_SPREAD * max(1.0, abs(high)) else (math.nan, math.nan)


def wilson(right: float, n: float, *, level: float = 0.95, freedom: int | None = None) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927), without continuity correction; (0, 1) of no items.

    For items that are independent: of grouped ones it is too narrow, and `share_interval` is the one to take. With
    `freedom` the quantile is Student's t of so many degrees.
    """
    if not 0 <= right <= n:
        raise InputError(expected="0 ≤ right ≤ n", got=f"{right} of {n}", fix="count the right among the items")
    if n == 0:
        return 0.0, 1.0
    z = quantile(level, freedom)
    middle = right + z * z / 2.0
    wide = z * math.sqrt(right * (n - right) / n + z * z / 4.0)
    low, high = (middle - wide) / (n + z * z), (middle + wide) / (n + z * z)
    # At the ends both are 0 or 1 but for rounding.
    return 0.0 if right == 0 else low, 1.0 if right == n else high


def quantile(level: float, freedom: int | None = None) -> float:
    """How many standard deviations around the mean hold a share `level` of a normal distribution, 1.96 for 0.95, or of
    Student's t of `freedom` degrees."""
    if not 0.0 < level < 1.0:
        raise InputError(expected="a level between 0 and 1", got=repr(level), fix="give 0.95 for 95 %")
    if freedom is None:
        return NormalDist().inv_cdf((1.0 + level) / 2.0)
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1.0 + level) / 2.0))
