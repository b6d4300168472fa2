"""Intervals against their equations and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.evals.statistics.intervals import (
    mean_interval,
    quantile,
    share_interval,
    spread,
    wilson,
)
from polyclinic.tools.bootstrap import interval


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilsons_bounds_are_the_shares_whose_test_just_fails(counts: tuple[int, int], level: float) -> None:
    right, n = counts
    z = quantile(level)
    low, high = wilson(right, n, level=level)
    assert 0.0 <= low <= right / n <= high <= 1.0
    for bound in (low, high):
        assert (right / n - bound) ** 2 == pytest.approx(z * z * bound * (1 - bound) / n, abs=1e-9)


def test_the_mean_of_few_groups_is_students_t_of_their_means() -> None:
    stats = pytest.importorskip("scipy.stats", reason="the reference is scipy: install polyclinic[imaging]")
    values, groups = [1.0, 3.0, 2.0, 6.0, 4.0, 8.0], ["a", "a", "b", "b", "c", "c"]
    low, high = stats.t.interval(0.95, 2, loc=4.0, scale=stats.sem([2.0, 4.0, 6.0]))
    assert mean_interval(values, groups) == pytest.approx((low, high))
    assert mean_interval(values, groups, least=0.0)[0] == 0.0
    alone = [str(place) for place in range(6)]
    low, high = stats.t.interval(0.95, 5, loc=4.0, scale=stats.sem(values))
    assert mean_interval(values, alone) == pytest.approx((low, high))


def test_a_mean_has_no_interval_where_the_groups_cannot_tell() -> None:
    assert all(map(math.isnan, mean_interval([2.0, 3.0], ["a", "a"])))
    assert all(map(math.isnan, mean_interval([0.5] * 4, ["a", "b", "c", "d"])))
    assert all(map(math.isnan, mean_interval([0.5] * 40, list(map(str, range(40))))))
    assert mean_interval([0.0] * 40, list(map(str, range(40))), least=0.0, most=1.0) == wilson(0, 40)


def test_the_mean_of_two_unlike_groups_is_held_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        sizes = rng.integers(2, 12, 2)
        values = np.concatenate([rng.normal(rng.normal(), 0.1, size) for size in sizes])
        low, high = mean_interval(values, ["a"] * sizes[0] + ["b"] * sizes[1])
        held += low <= 0.0 <= high
    assert held / 300 > 0.88


def test_wilson_at_its_ends_and_of_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe, Stat Med 1998, table I
    with pytest.raises(InputError, match=r"0 ≤ right ≤ n"):
        wilson(3, 2)
    with pytest.raises(InputError, match="a level between 0 and 1"):
        wilson(1, 2, level=95)


def test_wilson_agrees_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats", reason="the reference is scipy: install polyclinic[imaging]")
    for right, n, level in ((0, 7, 0.95), (3, 7, 0.9), (7, 7, 0.99), (250, 1000, 0.95)):
        theirs = stats.binomtest(right, n).proportion_ci(confidence_level=level, method="wilson")
        assert wilson(right, n, level=level) == pytest.approx((theirs.low, theirs.high))


def test_a_share_of_few_or_like_groups_is_as_wide_as_the_groups_are_few() -> None:
    alone = [str(number) for number in range(40)]
    right = [number % 4 != 0 for number in range(40)]
    assert share_interval(right, alone) == wilson(30, 40)
    pairs = [str(number // 2) for number in range(40)]
    assert share_interval([False] * 40, pairs) == wilson(0, 20)
    assert share_interval([True] * 40, pairs) == wilson(20, 20)
    low, high = share_interval([True, True, True, False], ["a"] * 4)
    assert low < 0.75 < high
    assert high - low > 0.7
    fates = [number // 2 % 4 != 0 for number in range(40)]
    assert share_interval(fates, pairs) == pytest.approx(wilson(15, 20, freedom=19))  # as if each pair were one
    assert share_interval([True, False] * 20, pairs) == pytest.approx(wilson(20, 40, freedom=19))
    uneven = ["big"] * 31 + [f"small {number}" for number in range(9)]
    assert share_interval([False] * 40, uneven)[1] > 0.6  # of 10 groups one has nearly all items: hardly 2 fates
    assert share_interval([], []) == (0.0, 1.0)


def test_a_share_of_grouped_items_is_held_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    for share, groups in ((0.035, 100), (0.055, 60), (0.165, 20), (0.255, 12)):
        held = 0
        for _ in range(400):
            fates = np.repeat(rng.random(groups) < share, 2)
            low, high = share_interval(fates.tolist(), [str(number // 2) for number in range(2 * groups)])
            held += low <= share <= high
            assert high < 1.0 or fates.all()
        assert held / 400 > 0.91, (share, groups)


def test_draws_that_are_all_alike_are_no_interval() -> None:
    assert spread((0.2, 0.3)) == (0.2, 0.3)
    assert all(map(math.isnan, spread((1.0, 1.0))))
    assert all(map(math.isnan, spread((724.1, 724.1 + 1e-10))))
    assert all(map(math.isnan, spread((math.nan, math.nan))))
    assert all(map(math.isnan, mean_interval([724.077344] * 20, [str(number) for number in range(20)])))


PAIRS = [str(n // 2) for n in range(20)]


def test_a_share_counts_as_many_items_as_its_groups_are_worth() -> None:
    """By hand: n p (1 - p) over the variance between groups, k groups over k - 1 of it, never more than n."""
    one_fate = share_interval([n // 2 % 2 == 0 for n in range(20)], PAIRS)
    assert one_fate == pytest.approx(wilson(5, 10, freedom=9))
    unlike = [n % 4 < 3 if n < 24 else n % 4 < 1 for n in range(48)]
    assert share_interval(unlike, [str(n // 4) for n in range(48)]) == pytest.approx(wilson(22, 44, freedom=11))
    evened = [n % 2 == 0 or n == 1 for n in range(40)]
    assert share_interval(evened, [str(n // 2) for n in range(40)]) == pytest.approx(wilson(21, 40, freedom=19))


@pytest.mark.parametrize(("groups", "level"), [(10, 0.95), (20, 0.5)])
def test_a_mean_of_ten_groups_or_more_has_the_bootstraps_interval(groups: int, level: float) -> None:
    values, names = np.arange(float(groups)), [str(n) for n in range(groups)]
    drawn = interval(lambda index: float(values[index].mean()), names, level=level)
    assert mean_interval(values, names, level=level) == drawn
