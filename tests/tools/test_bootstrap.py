"""The bootstrap against its definition, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.tools.bootstrap import interval, percentiles, resamples

GROUPS = st.lists(st.sampled_from(["p1", "p10", "p2", "Ä", ""]), min_size=1, max_size=30)


@given(GROUPS, st.integers(0, 3))
def test_whole_groups_are_drawn_as_many_as_there_are(groups: list[str], seed: int) -> None:
    names = sorted(set(groups))
    rng = np.random.default_rng(seed)
    for index in resamples(groups, draws=5, seed=seed):
        chosen = [names[k] for k in rng.integers(0, len(names), len(names))]
        assert list(index) == [k for name in chosen for k, group in enumerate(groups) if group == name]


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
