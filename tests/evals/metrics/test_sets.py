"""Chains of steps, against a count by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.evals.metrics.sets import step_accuracy


def test_a_step_counts_with_all_steps_before_it() -> None:
    right = [True, True, False, True, False, True, True]
    groups = ["a", "a", "a", "b", "b", "b", "c"]
    steps = [1, 2, 3, 3, 2, 1, 1]  # of b the second step fails, so that its right third does not count
    assert step_accuracy(right, groups, steps) == {1: 1.0, 2: 0.5, 3: 0.0}


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=6), st.randoms())
def test_steps_never_gain_and_end_as_sets_in_any_order(chains: list[list[bool]], order: st.random.Random) -> None:
    answers = [(good, f"c{n}", step) for n, chain in enumerate(chains) for step, good in enumerate(chain)]
    order.shuffle(answers)
    right, groups, steps = (list(column) for column in zip(*answers, strict=True))
    found = step_accuracy(right, groups, steps)
    assert found[0] >= found[1] >= found[2] == sum(map(all, chains)) / len(chains)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="each step of a chain once"):
        step_accuracy([True, True], ["a", "a"], [1, 1])
    with pytest.raises(InputError, match="for each answer"):
        step_accuracy([True], ["a", "b"], [1])
