"""Planned samples and differences against McNemar's test on simulated arms, and against one another."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.evals.statistics.paired import mcnemar_of
from polyclinic.evals.statistics.power import detectable_difference, power, samples_needed


@pytest.mark.parametrize("stated", [0.8, 0.9])
@pytest.mark.parametrize(("n", "discordance"), [(100, 0.2), (200, 0.4), (500, 0.1), (1000, 0.3)])
def test_the_stated_power_is_that_of_simulated_arms(n: int, discordance: float, stated: float) -> None:
    gap = detectable_difference(n, discordance=discordance, power=stated)
    shares = [(discordance + gap) / 2, (discordance - gap) / 2, 1 - discordance]
    drawn, times = np.unique(np.random.default_rng(0).multinomial(n, shares, 4000)[:, :2], axis=0, return_counts=True)
    tests = [mcnemar_of(int(first), int(second)) for first, second in drawn]
    mid = float(times @ [test.mid_p <= 0.05 for test in tests]) / 4000
    exact = float(times @ [test.p <= 0.05 for test in tests]) / 4000
    assert stated - 0.025 <= mid <= stated + 0.04
    assert stated - 0.065 <= exact <= mid


@given(st.floats(0.02, 1.0), st.floats(0.05, 1.0), st.sampled_from([0.05, 0.01, 0.001]), st.floats(0.5, 0.99))
def test_the_three_figures_are_one_equation(discordance: float, share: float, alpha: float, stated: float) -> None:
    gap = discordance * share
    n = samples_needed(discordance=discordance, difference=gap, alpha=alpha, power=stated)
    assert power(n, discordance=discordance, difference=gap, alpha=alpha) >= stated - 1e-6
    if n > 1 and share < 1.0:
        assert power(n - 1, discordance=discordance, difference=gap, alpha=alpha) <= stated + 1e-6
    found = detectable_difference(n, discordance=discordance, alpha=alpha, power=stated)
    assert found <= gap * (1 + 1e-6)
    again = power(n, discordance=discordance, difference=found, alpha=alpha)
    assert again == pytest.approx(stated, abs=1e-6) or found == pytest.approx(discordance)


def test_a_published_size() -> None:
    # Connor 1987 by the equation: (1.95996 √0.2 + 0.84162 √(0.2 − 0.01))² / 0.01 = 154.6
    assert samples_needed(discordance=0.2, difference=0.1) == samples_needed(discordance=0.2, difference=-0.1) == 155


def test_too_few_samples_find_nothing() -> None:
    assert math.isnan(detectable_difference(20, discordance=0.05))
    assert math.isnan(detectable_difference(1, discordance=0.5, power=0.5))
    assert power(3, discordance=1.0, difference=1.0) == 0.0  # three against none: p is 0.25 at best
    assert power(4, discordance=1.0, difference=1.0) == 1.0
    assert power(100, discordance=0.2, difference=0.0) == pytest.approx(0.025)


def test_what_cannot_be_is_refused() -> None:
    for gap in (0.0, 0.3):
        with pytest.raises(InputError, match="no greater than the discordance"):
            samples_needed(discordance=0.2, difference=gap)
    with pytest.raises(InputError, match="no greater than the discordance"):
        power(10, discordance=0.2, difference=0.3)
    with pytest.raises(InputError, match=r"a power of 0\.5 or more"):
        detectable_difference(100, discordance=0.2, power=0.2)
    with pytest.raises(InputError, match="n of 1 or more"):
        power(0, discordance=0.2, difference=0.1)
