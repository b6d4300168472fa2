"""How many samples a comparison of two arms needs, and what difference a number of samples can show.

Two arms answer the same n independent samples; `discordance` is the share of samples that exactly one of them has
right, `difference` that of the first minus that of the second, at most the discordance. The test is McNemar's, two-
sided; all three figures are its normal approximation (Miettinen, Biometrics 1968; Connor, Biometrics 1987). Simulated
at powers of 0.8 and 0.9 with 15 discordant samples or more, the mid-p test has the stated power or up to 0.04 more, the
exact test up to 0.05 less. Grouped samples count for less than n: divide by the design effect. For m tests with Holm's
correction, alpha / m is on the safe side.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from ...core.errors import InputError
from .intervals import quantile

_NORMAL = NormalDist()


def power(n: int, *, discordance: float, difference: float, alpha: float = 0.05) -> float:
    """The chance that a `difference` of that size is found significant with n samples, in its own direction."""
    _check(n, discordance, alpha)
    gap = abs(difference)
    if gap > discordance:
        raise _impossible(gap, discordance)
    spread = math.sqrt(max(0.0, discordance - gap**2))
    above = gap * math.sqrt(n) - quantile(1.0 - alpha) * math.sqrt(discordance)
    if spread == 0.0:
        return float(above > 0.0)
    return _NORMAL.cdf(above / spread)


def samples_needed(*, discordance: float, difference: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """The least n with which a `difference` of that size is found with at least that power."""
    _check(1, discordance, alpha)
    gap = abs(difference)
    if not 0.0 < gap <= discordance:
        raise _impossible(gap, discordance)
    wide = quantile(1.0 - alpha) * math.sqrt(discordance)
    wide += _deviate(power) * math.sqrt(max(0.0, discordance - gap**2))
    return max(1, math.ceil((wide / gap) ** 2 - 1e-9))  # rounding must not cost a sample


def detectable_difference(n: int, *, discordance: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The least difference that n samples find with that power: the least that `samples_needed` answers with n.

    NaN where even the greatest possible one, the discordance itself, needs more samples than n.
    """
    _check(n, discordance, alpha)
    z, b = quantile(1.0 - alpha), _deviate(power)
    under = n + b * b - z * z
    if under < 0:
        return math.nan
    found = math.sqrt(discordance) * (z * math.sqrt(n) + b * math.sqrt(under)) / (n + b * b)
    return found if found <= discordance else math.nan


def _deviate(power: float) -> float:
    if not 0.5 <= power < 1.0:
        raise InputError(expected="a power of 0.5 or more, below 1", got=repr(power), fix="0.8 and 0.9 are usual")
    return _NORMAL.inv_cdf(power)


def _check(n: int, discordance: float, alpha: float) -> None:
    if n < 1 or not 0.0 < discordance <= 1.0 or not 0.0 < alpha < 1.0:
        raise InputError(
            expected="n of 1 or more, a discordance in (0, 1] and alpha between 0 and 1",
            got=f"n {n}, discordance {discordance}, alpha {alpha}",
            fix="take the discordance from an earlier comparison, or 2 × error rate × accuracy of two like arms",
        )


def _impossible(gap: float, discordance: float) -> InputError:
    return InputError(
        expected="a difference above 0 and no greater than the discordance",
        got=f"{gap} with a discordance of {discordance}",
        fix="give the share of samples that exactly one arm has right, which is at least the difference",
    )
