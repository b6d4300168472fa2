"""Two arms on the same samples: whether they differ, by how much, and what many such tests together still show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...tools.bootstrap import DRAWS, Statistic, percentiles, resamples
from .intervals import FEW_GROUPS, mean_interval, quantile

Name = TypeVar("Name")

_ZERO = 1e-12  # figures that are equal but for rounding do not differ


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """Samples that only one of two arms has right, and how likely so uneven a split is if neither is better."""

    only_first: int
    only_second: int
    p: float
    mid_p: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """McNemar's test, exact, two-sided (McNemar 1947), of whether each sample was right by each arm.

    `p` is the chance of a split at least as uneven of as many samples by a fair coin; it is never above the stated
    error and often well below. `mid_p` counts the observed split by half (Fagerland et al., BMC Med Res Methodol
    2013): closer to the stated error, on rare occasions slightly above. Without any such sample both are 1. Samples
    count as independent: for grouped ones see `sign_flips`.
    """
    if len(first) != len(second):
        raise InputError(
            expected="both arms on the same samples",
            got=f"{len(first)} and {len(second)}",
            fix="compare one set of samples",
        )
    only_first = sum(bool(a) and not b for a, b in zip(first, second, strict=True))
    only_second = sum(bool(b) and not a for a, b in zip(first, second, strict=True))
    return mcnemar_of(only_first, only_second)


def mcnemar_of(only_first: int, only_second: int) -> McNemar:
    """`mcnemar` from the two counts."""
    n, fewer = only_first + only_second, min(only_first, only_second)
    term = tail = 1
    for k in range(fewer):
        term = term * (n - k) // (k + 1)
        tail += term
    # Whole numbers up to here: no rounding, and no overflow, at any n.
    p = min(1.0, 2 * tail / (1 << n))
    return McNemar(only_first=only_first, only_second=only_second, p=p, mid_p=min(1.0, (2 * tail - term) / (1 << n)))


@dataclass(frozen=True, kw_only=True)
class SignFlips:
    """Groups of which either arm has more right, and how likely so great a difference is if neither is better."""

    for_first: int
    for_second: int
    p: float


def sign_flips(balances: Sequence[int]) -> SignFlips:
    """The paired randomisation test, exact, two-sided (Fisher 1935, section 21), of groups of like samples.

    `balances` are, for each group, the samples only the first arm has right minus those only the second has. If neither
    is better, each could as well have the other sign: `p` is the chance that their sum is at least as far from 0 as
    it is, over all signs. It tests the very sum of which the difference of the two shares is made. Of groups of one
    sample it is McNemar's exact test.
    """
    uneven = [abs(balance) for balance in balances if balance]
    for_first = sum(balance > 0 for balance in balances)
    if all(size == 1 for size in uneven):
        p = mcnemar_of(for_first, len(uneven) - for_first).p
    else:
        chance = np.ones(1)  # of each sum from -reach to +reach
        for size in uneven:
            padded = np.pad(chance, size)
            chance = (np.roll(padded, size) + np.roll(padded, -size)) / 2.0
        reach, found = sum(uneven), abs(sum(balances))
        p = min(1.0, float(chance[np.abs(np.arange(-reach, reach + 1)) >= found].sum()))
    return SignFlips(for_first=for_first, for_second=len(uneven) - for_first, p=p)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """First minus second: its value on all samples, its interval, and a two-sided p value from the same draws.

    `undefined` counts the draws that were left out because a figure was NaN.
    """

    value: float
    low: float
    high: float
    p: float
    undefined: int


def difference(
    first: Statistic,
    second: Statistic,
    groups: Sequence[str],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """The difference of any figure of two arms, both on the same drawn samples, whole groups at a time.

    `first` and `second` give the figure of the samples with the given indices. The interval is the percentile
    bootstrap's; p is the error at which that interval would just reach 0 (Efron & Tibshirani 1993, chapter 15), with 1
    added to counts so that it is never 0: the least is 2 / (draws + 1). No draw defined: all NaN but the value.
    """
    drawn = np.array([first(index) - second(index) for index in resamples(groups, draws=draws, seed=seed)])
    low, high = percentiles(drawn, level)
    everything = np.arange(len(groups))
    defined = drawn[~np.isnan(drawn)]
    beyond = min(int((defined <= _ZERO).sum()), int((defined >= -_ZERO).sum()))
    return Difference(
        value=float(first(everything) - second(everything)),
        low=low,
        high=high,
        p=min(1.0, 2.0 * (beyond + 1) / (len(defined) + 1)) if len(defined) else math.nan,
        undefined=len(drawn) - len(defined),
    )


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """p values adjusted for being several (Holm 1979), by name in the order given.

    To reject where the adjusted value is at most alpha keeps the chance of any wrong rejection at alpha, however the
    tests hang together. Raises InputError for a value that is none.
    """
    wrong = [value for value in p_values.values() if not 0.0 <= value <= 1.0]
    if wrong:
        raise InputError(expected="p values in [0, 1]", got=repr(wrong[0]), fix="leave out what could not be tested")
    adjusted: dict[Name, float] = {}
    least = 0.0
    for place, (name, value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        least = max(least, min(1.0, (len(p_values) - place) * value))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}


def difference_of_shares(
    first: NDArray[np.bool_], second: NDArray[np.bool_], groups: Sequence[str], *, level: float = 0.95
) -> Difference:
    """`difference` of two shares that are right. Where every draw gives the same (no group differs, or all do alike),
    the interval is the score interval of so many groups (Tango, Stat Med 1998;17:891-908): ± z²/(g + z²) around no
    difference, and from ±1 down to (g - z²)/(g + z²) where one arm alone is always right. Of fewer than FEW_GROUPS
    groups it is that of `mean_interval`."""

    def mean(values: NDArray[np.bool_]) -> Statistic:
        return lambda index: float(values[index].mean())

    found = difference(mean(first), mean(second), groups, level=level)
    if found.low < found.high:
        if len(set(groups)) >= FEW_GROUPS:
            return found
        low, high = mean_interval(first.astype(np.float64) - second, groups, least=-1.0, most=1.0, level=level)
        return replace(found, low=low, high=high)
    squared = quantile(level) ** 2
    half = squared / (len(set(groups)) + squared)
    low, high = found.value - half * (1.0 + abs(found.value)), found.value + half * (1.0 + abs(found.value))
    return replace(found, low=max(-1.0, low), high=min(1.0, high))
