"""How great a difference of two arms a number of samples can show.

Two arms answer the same n independent samples; `discordance` is the share of samples that exactly one of them has
right, `difference` that of the first minus that of the second, at most the discordance. The test is McNemar's exact
one, two-sided, as `polyclinic eval compare` makes it; its power is summed over every number of samples that one arm
alone may have right (Duffy, Biometrics 1984). Grouped samples count for less than n: divide by the design effect. For
m tests with Holm's correction, alpha / m is on the safe side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HALVINGS = 40


def power(n: int, *, discordance: float, difference: float, alpha: float = 0.05) -> float:
    """The chance that a `difference` of that size is found significant with n samples, in its own direction."""
    gap = abs(difference)
    if gap > discordance:
        raise InputError(
            expected="a difference no greater than the discordance", got=f"{gap} with a discordance of {discordance}",
            fix="give the share of samples that exactly one arm has right, which is at least the difference",
        )  # fmt: skip
    return _Test.of(n, discordance, alpha).power(gap)


def detectable_difference(n: int, *, discordance: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The least difference that n samples find with that power.

    NaN where even the greatest possible one, the discordance itself, is found too rarely.
    """
    if not 0.5 <= power < 1.0:
        raise InputError(expected="a power of 0.5 or more, below 1", got=repr(power), fix="0.8 and 0.9 are usual")
    test = _Test.of(n, discordance, alpha)
    low, high = 0.0, discordance
    if test.power(high) < power:
        return math.nan
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if test.power(middle) >= power else (middle, high)
    return high


@dataclass(frozen=True, kw_only=True)
class _Test:
    """The test on every number of discordant samples, 0 to n: how likely it is, and from how many right of the first
    arm alone the test rejects."""

    discordance: float
    numbers: NDArray[np.int64]
    chance: NDArray[np.float64]
    least: NDArray[np.int64]

    @classmethod
    def of(cls, n: int, discordance: float, alpha: float) -> _Test:
        if n < 1 or not 0.0 < discordance <= 1.0 or not 0.0 < alpha < 1.0:
            raise InputError(
                expected="n of 1 or more, a discordance in (0, 1] and alpha between 0 and 1",
                got=f"n {n}, discordance {discordance}, alpha {alpha}",
                fix="take the discordance from an earlier comparison, or 2 × error rate × accuracy of two like arms",
            )
        import numpy as np
        from scipy.stats import binom

        numbers = np.arange(n + 1)
        least = binom.isf(alpha / 2.0, numbers, 0.5).astype(np.int64) + 1
        return cls(
            discordance=discordance, numbers=numbers, chance=binom.pmf(numbers, n, discordance), least=least
        )  # fmt: skip

    def power(self, gap: float) -> float:
        from scipy.stats import binom

        for_first = (self.discordance + gap) / (2.0 * self.discordance)
        return float(self.chance @ binom.sf(self.least - 1, self.numbers, min(1.0, for_first)))
