"""Intervals against their equations, by simulation, and against the bootstrap that tool cards are measured with."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.evals.statistics.intervals import (
    interval,
    mean_interval,
    percentiles,
    quantile,
    resamples,
    share_interval,
    wilson,
)
from polyclinic.tools.learned.training.intervals import interval as interval_of_cards

GROUPS = st.lists(st.sampled_from(["p1", "p10", "p2", "Ä", ""]), min_size=1, max_size=30)


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


@given(GROUPS, st.integers(0, 3))
def test_whole_groups_are_drawn_as_many_as_there_are(groups: list[str], seed: int) -> None:
    names = sorted(set(groups))
    rng = np.random.default_rng(seed)
    for index in resamples(groups, draws=5, seed=seed):
        chosen = [names[k] for k in rng.integers(0, len(names), len(names))]
        assert list(index) == [k for name in chosen for k, group in enumerate(groups) if group == name]


@given(GROUPS, st.integers(0, 3))
def test_the_interval_is_that_of_cards(groups: list[str], seed: int) -> None:
    values = np.random.default_rng(len(groups)).normal(size=len(groups))

    def mean(index: np.ndarray) -> float:
        return float(values[index].mean())

    ours = interval(mean, groups, draws=50, seed=seed)
    assert ours == pytest.approx(interval_of_cards(mean, groups, draws=50, seed=seed))


def test_the_order_of_items_moves_nothing() -> None:
    values = np.arange(60) % 7
    groups = [f"g{k % 11}" for k in range(60)]
    order = np.random.default_rng(0).permutation(60)
    mixed = values[order]
    one = interval(lambda index: float(values[index].mean()), groups, draws=100)
    other = interval(lambda index: float(mixed[index].mean()), [groups[k] for k in order], draws=100)
    assert one == pytest.approx(other)


def test_groups_of_like_items_widen_the_interval_and_it_covers() -> None:
    rng = np.random.default_rng(0)
    covered = {"groups": 0, "items": 0}
    for _ in range(200):
        values = np.repeat(rng.normal(size=40), 5) + 0.1 * rng.normal(size=200)
        groups = [f"g{k // 5}" for k in range(200)]
        for name, drawn_over in (("groups", groups), ("items", [str(k) for k in range(200)])):
            low, high = interval(lambda index, v=values: float(v[index].mean()), drawn_over, draws=200)
            covered[name] += low <= 0.0 <= high
    assert covered["groups"] >= 175  # 186 expected of 40 groups, where 95 % stated are 93 %; 3 standard deviations
    assert covered["items"] <= 140  # what counting alike items as independent costs


def test_draws_without_a_figure_are_left_out() -> None:
    positive = np.array([True, False])

    def spread(index: np.ndarray) -> float:
        here = positive[index]
        return math.nan if here.all() or not here.any() else 1.0

    assert interval(spread, ["a", "b"], draws=100) == (1.0, 1.0)
    assert all(math.isnan(bound) for bound in interval(lambda _: math.nan, ["a"], draws=5))
    assert percentiles(np.array([1.0, math.nan, 3.0]), 0.5) == (1.5, 2.5)
    with pytest.raises(InputError, match="one item or more"):
        interval(spread, [])


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
    bootstrapped = share_interval(right, pairs)
    assert bootstrapped == interval(lambda index: float(np.array(right)[index].mean()), pairs)
    assert share_interval([], []) == (0.0, 1.0)
