"""The bootstrap over groups: items drawn anew, whole groups at a time, and the percentiles of any figure of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError

Index: TypeAlias = NDArray[np.int64]
Statistic: TypeAlias = Callable[[Index], float]
"""A figure of the items with these indices, which repeat as they were drawn; NaN where it is not defined."""

DRAWS = 2000


def interval(
    statistic: Statistic, groups: Sequence[str], *, draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """The percentile interval of `statistic` over items drawn anew, whole groups at a time (Efron & Tibshirani 1993).

    `groups` names the group of each item: as many groups are drawn, with replacement, as there are, and all items of
    a drawn group come along. Draws for which the statistic is NaN (an AUROC of one class) are left out; NaN where
    that is all of them. The same seed draws the same groups, whatever order the groups first occur in.

    Of few groups it is a little narrow: of 40, what is stated as 95 % holds the true mean in 93 % (simulated).
    """
    drawn = np.array([statistic(index) for index in resamples(groups, draws=draws, seed=seed)], dtype=np.float64)
    return percentiles(drawn, level)


def percentiles(drawn: NDArray[np.float64], level: float) -> tuple[float, float]:
    """The two percentiles that `level` of the drawn figures lie between, NaN left out."""
    defined = drawn[~np.isnan(drawn)]
    if not len(defined):
        return math.nan, math.nan
    low, high = np.percentile(defined, (50.0 * (1.0 - level), 50.0 * (1.0 + level)))
    return float(low), float(high)


def resamples(groups: Sequence[str], *, draws: int = DRAWS, seed: int = 0) -> Iterator[Index]:
    """The indices of the items of each draw, group after group as they were drawn."""
    if not len(groups):
        raise InputError(expected="one item or more", got="none", fix="run the samples first")
    names = {name: place for place, name in enumerate(sorted(set(groups)))}
    belongs = np.array([names[group] for group in groups], dtype=np.int64)
    by_group = np.argsort(belongs, kind="stable")
    sizes = np.bincount(belongs)
    starts = np.cumsum(sizes) - sizes
    alone = len(names) == len(groups)
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        chosen = rng.integers(0, len(names), len(names))
        if alone:
            yield by_group[chosen]
            continue
        lengths = sizes[chosen]
        # A run of counting numbers for each chosen group, moved to where its items begin.
        moved = np.repeat(starts[chosen] - (np.cumsum(lengths) - lengths), lengths)
        yield by_group[moved + np.arange(len(moved))]
