"""Counts that met: their shares, and pairings against all pairings there are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.evals.metrics.overlap import Overlap, one_to_one

COSTS = st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0, math.inf])


@st.composite
def tables(draw: st.DrawFn) -> np.ndarray:
    n, m = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    return np.array(draw(st.lists(COSTS, min_size=n * m, max_size=n * m))).reshape(n, m)


def best_pairing(cost: np.ndarray) -> tuple[int, float]:
    """As many pairs as any pairing has, and the least cost of so many, by trying all."""
    n, m = cost.shape
    tried = [(0, 0.0)]
    for size in range(1, min(n, m) + 1):
        for rows in itertools.combinations(range(n), size):
            for columns in itertools.permutations(range(m), size):
                total = sum(cost[i, j] for i, j in zip(rows, columns, strict=True))
                if math.isfinite(total):
                    tried.append((size, total))
    most = max(size for size, _ in tried)
    return most, min(total for size, total in tried if size == most)


@given(tables())
def test_no_pairing_has_more_pairs_or_as_many_for_less(cost: np.ndarray) -> None:
    pairs = one_to_one(cost)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    most, least = best_pairing(cost)
    assert len(pairs) == most
    assert sum(cost[pair] for pair in pairs) == pytest.approx(least)


def test_one_more_pair_is_worth_any_cost() -> None:
    assert one_to_one(np.array([[0.0, 1000.0], [1000.0, math.inf]])) == ((0, 1), (1, 0))


def test_shares_of_nothing_are_not_defined_but_f1_is() -> None:
    nothing = Overlap(hits=0, said=0, there=0)
    assert math.isnan(nothing.precision)
    assert math.isnan(nothing.recall)
    assert nothing.f1 == 1.0
    assert Overlap(hits=0, said=3, there=0).f1 == Overlap(hits=0, said=0, there=3).f1 == 0.0


def test_f1_is_the_harmonic_mean_and_sums_are_pooled() -> None:
    one, other = Overlap(hits=2, said=3, there=4), Overlap(hits=0, said=5, there=1)
    assert one.f1 == pytest.approx(2 / (1 / one.precision + 1 / one.recall))
    assert (one + other) == Overlap(hits=2, said=8, there=5)
