"""Paired tests against all outcomes of a fair coin, against scipy, and by simulation where nothing differs."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from polyclinic.core.errors import InputError
from polyclinic.evals.statistics.intervals import mean_interval, quantile
from polyclinic.evals.statistics.paired import difference, difference_of_shares, holm, mcnemar, mcnemar_of, sign_flips

COUNTS = st.tuples(st.integers(0, 6), st.integers(0, 6))
P_VALUES = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.04, 0.5, 1.0]))


@given(COUNTS)
def test_mcnemar_counts_the_coins_that_fall_as_unevenly(counts: tuple[int, int]) -> None:
    first, second = counts
    falls = [abs(2 * sum(coins) - first - second) for coins in itertools.product((0, 1), repeat=first + second)]
    gap = abs(first - second)
    p = sum(fall >= gap for fall in falls) / len(falls)
    as_uneven = sum(fall == gap for fall in falls) / len(falls)
    found = mcnemar_of(first, second)
    assert found.p == pytest.approx(p)
    # Half of what is as uneven, on both sides; an even split has one side only.
    assert found.mid_p == pytest.approx(p - as_uneven / 2 if gap else 1.0)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_scipys_binomial_test(first: int, second: int) -> None:
    stats = pytest.importorskip("scipy.stats", reason="the reference is scipy: install polyclinic[imaging]")
    found = mcnemar_of(first, second)
    assert found.p == pytest.approx(stats.binomtest(first, first + second).pvalue if first + second else 1.0)
    swapped = mcnemar_of(second, first)
    assert (found.p, found.mid_p) == (swapped.p, swapped.mid_p)


@given(st.lists(st.integers(-6, 6), max_size=9))
def test_sign_flips_count_the_signs_that_go_as_far(balances: list[int]) -> None:
    sums = [
        abs(sum(sign * size for sign, size in zip(signs, balances, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(balances))
    ]
    found = sign_flips(balances)
    assert found.p == pytest.approx(sum(far >= abs(sum(balances)) for far in sums) / len(sums))
    assert found == dataclasses.replace(
        sign_flips([-each for each in balances]), for_first=found.for_first, for_second=found.for_second
    )


@given(st.lists(st.integers(-1, 1), max_size=300))
def test_sign_flips_of_single_samples_are_mcnemars_test(balances: list[int]) -> None:
    found = sign_flips(balances)
    assert (found.for_first, found.for_second) == (balances.count(1), balances.count(-1))
    assert found.p == mcnemar_of(found.for_first, found.for_second).p


def test_large_groups_for_one_arm_do_not_count_for_the_other() -> None:
    found = sign_flips([20, 20, *[-1] * 10])
    assert (found.for_first, found.for_second) == (2, 10)
    assert found.p == pytest.approx(0.5)  # the signs of the two large groups decide
    assert sign_flips([3] * 2000).p < 1e-300


def test_mcnemar_counts_what_only_one_has_right() -> None:
    found = mcnemar([True, True, True, False, False], [True, False, False, True, False])
    assert (found.only_first, found.only_second) == (2, 1)
    assert mcnemar([True], [True]).p == mcnemar([], []).mid_p == 1.0
    assert mcnemar_of(0, 6).p == 2 / 2**6
    assert mcnemar_of(20000, 21000).p == pytest.approx(8e-7, rel=0.1)  # no overflow
    with pytest.raises(InputError, match="the same samples"):
        mcnemar([True], [])


def test_a_difference_is_that_of_any_figure_over_whole_groups() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(0.4, 1, 300), rng.normal(0.0, 1, 300)
    groups = [f"g{k // 3}" for k in range(300)]
    found = difference(
        lambda index: float(np.median(first[index])), lambda index: float(np.median(second[index])), groups, draws=500
    )
    assert found.value == pytest.approx(float(np.median(first) - np.median(second)))
    assert found.low < found.value < found.high
    assert 0 < found.p < 0.05
    assert (found.low > 0) == (found.p <= 0.05)


def test_arms_that_say_the_same_do_not_differ() -> None:
    values = np.random.default_rng(0).random(50)
    groups = [str(k) for k in range(50)]
    found = difference(
        lambda index: float(values[index].mean()), lambda index: float(values[index][::-1].mean()), groups, draws=100
    )  # the same sum in another order: equal but for rounding
    assert found.p == 1.0
    assert found.value == pytest.approx(0.0)


def test_the_least_p_is_that_of_the_draws_and_undefined_draws_are_counted() -> None:
    groups = ["a", "b", "c"]
    assert difference(lambda _: 1.0, lambda _: 0.0, groups, draws=99).p == pytest.approx(2 / 100)
    lost = difference(lambda _: math.nan, lambda _: 0.0, groups, draws=9)
    assert (lost.undefined, math.isnan(lost.p), math.isnan(lost.low)) == (9, True, True)
    some = difference(lambda index: math.nan if index[0] == 0 else 1.0, lambda _: 0.0, groups, draws=50)
    assert 0 < some.undefined < 50
    assert some.p == pytest.approx(2 / (50 - some.undefined + 1))


def test_where_nothing_differs_one_in_twenty_is_found() -> None:
    rng = np.random.default_rng(0)
    groups = [f"g{k // 2}" for k in range(120)]
    found = 0
    for _ in range(300):
        shared = np.repeat(rng.normal(size=60), 2)  # what makes both arms find the same groups easy
        first, second = (shared + np.repeat(rng.normal(size=60), 2) for _ in "ab")
        p = difference(
            lambda index, v=first: float(v[index].mean()), lambda index, v=second: float(v[index].mean()),
            groups, draws=199,
        ).p  # fmt: skip
        found += p <= 0.05
    assert 3 <= found <= 30  # 15 expected; 4 standard deviations


@given(P_VALUES)
def test_holm_rejects_step_by_step(p_values: dict[str, float]) -> None:
    found = holm(p_values)
    assert list(found) == list(p_values)
    for alpha in (0.004, 0.03, 0.05, 0.11, 0.9):
        rejected = set()
        for place, (name, value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
            if value * (len(p_values) - place) > alpha:
                break
            rejected.add(name)
        assert {name for name, value in found.items() if value <= alpha} == rejected


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
    for value in (math.nan, -0.1, 1.1):
        with pytest.raises(InputError, match=r"p values in \[0, 1\]"):
            holm({"a": value})


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ([True] * 20, [True] * 20, -0.16112, 0.16112),
        ([False] * 20, [True] * 20, -1.0, -0.67775),
        ([True] * 20, [False] * 20, 0.67775, 1.0),
    ],
)
def test_shares_that_always_differ_alike_have_tangos_interval(
    first: list[bool], second: list[bool], low: float, high: float
) -> None:
    """The bounds are those where Tango's score statistic reaches 1.96, found on a grid."""
    found = difference_of_shares(np.array(first), np.array(second), [str(n) for n in range(20)])
    assert (found.low, found.high) == pytest.approx((low, high), abs=2e-5)


def test_shares_that_differ_have_the_bootstraps_interval() -> None:
    first, second = np.array([True, False] * 10), np.array([False, False, True, True] * 5)
    groups = [str(n) for n in range(20)]
    expected = difference(lambda index: float(first[index].mean()), lambda index: float(second[index].mean()), groups)
    assert difference_of_shares(first, second, groups) == expected


def unlike(groups: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], list[str]]:
    """Two arms that are right in turn, each sample a group."""
    return np.arange(groups) % 2 == 0, np.arange(groups) % 4 == 1, [str(n) for n in range(groups)]


@pytest.mark.parametrize(("groups", "level"), [(10, 0.95), (20, 0.5)])
def test_shares_of_ten_groups_or_more_have_the_bootstraps_interval(groups: int, level: float) -> None:
    first, second, names = unlike(groups)
    drawn = difference(
        lambda index: float(first[index].mean()), lambda index: float(second[index].mean()), names, level=level
    )
    assert difference_of_shares(first, second, names, level=level) == drawn


def test_shares_of_few_groups_have_students_interval_between_minus_one_and_one() -> None:
    first, second, names = unlike(6)
    found = difference_of_shares(first, second, names)
    assert (found.low, found.high) == mean_interval(first.astype(float) - second, names, least=-1.0, most=1.0)
    assert difference_of_shares(np.array([True, True, False]), np.array([False] * 3), list("abc")).high == 1.0


def test_arms_that_say_the_same_have_tangos_interval_at_its_level() -> None:
    same, squared = np.array([True] * 20), quantile(0.5) ** 2
    found = difference_of_shares(same, same, [str(n // 2) for n in range(20)], level=0.5)
    assert found.high == pytest.approx(squared / (10 + squared))
