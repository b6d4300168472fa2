"""Groups that are right only as a whole, against a count by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.evals.metrics.sets import pair_accuracy, set_accuracy, step_accuracy

ANSWERS = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12)


@given(ANSWERS)
def test_a_group_counts_when_all_its_members_are_right(answers: list[tuple[str, bool]]) -> None:
    right, groups = [good for _, good in answers], [group for group, _ in answers]
    whole = [all(good for name, good in answers if name == group) for group in sorted(set(groups))]
    assert set_accuracy(right, groups) == pytest.approx(sum(whole) / len(whole) if whole else math.nan, nan_ok=True)


def test_pairs_are_two() -> None:
    assert pair_accuracy([True, True, False, True], ["a", "a", "b", "b"]) == 0.5
    with pytest.raises(InputError, match="two answers for each pair"):
        pair_accuracy([True, True, True], ["a", "a", "b"])
    assert math.isnan(pair_accuracy([], []))


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
    assert found[0] >= found[1] >= found[2] == set_accuracy(right, groups)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="each step of a chain once"):
        step_accuracy([True, True], ["a", "a"], [1, 1])
    with pytest.raises(InputError, match="for each answer"):
        set_accuracy([True], ["a", "b"])
