"""Linear classifiers: what they give, that they solve what they state, and how calibration and folds behave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.tools.neural.linear import (
    FOLDS,
    STRENGTHS,
    Examples,
    auroc,
    calibration_error,
    fit,
    held_out,
    regression,
    softmax,
    splits,
)


def drawn(n: int, *, count: int = 3, apart: float = 1.0, wide: int = 40, seed: int = 0) -> Examples:
    """Clouds around `count` points at unit length."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % count
    middles = rng.normal(size=(count, wide))
    rows = apart * middles[classes] + rng.normal(size=(n, wide)) * 1.5
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return Examples(vectors=rows, classes=classes, count=count, groups=tuple(map(str, range(n))))


@pytest.mark.parametrize("wide", [4, 100])
def test_a_regression_is_at_the_bottom_of_its_loss(wide: int) -> None:
    examples = drawn(60, wide=wide)
    strength = 0.01
    weights, bias = regression(examples, (strength,))[0]
    centred = examples.vectors - examples.vectors.mean(axis=0)
    scale = 1 / np.sqrt((centred**2).sum(axis=1).mean())
    truth = np.eye(3)[examples.classes]
    wrong = (softmax(examples.vectors @ weights + bias) - truth) / 60
    slope = scale * centred.T @ wrong + strength * weights / scale
    assert np.abs(slope).max() < 1e-4
    assert np.abs(wrong.sum(axis=0)).max() < 1e-4


def test_few_examples_give_prototypes_and_five_of_each_a_regression() -> None:
    few, many = fit(drawn(12)), fit(drawn(15))
    assert few.method == "prototypes"
    assert many.method == "logistic"
    assert many.strength in STRENGTHS
    assert few.calibrated
    assert many.calibrated


def test_one_example_of_a_class_is_not_calibrated_and_is_its_own_nearest() -> None:
    examples = drawn(3)
    found = fit(examples)
    assert not found.calibrated
    assert (found.probabilities(examples.vectors).argmax(axis=1) == examples.classes).all()
    assert held_out(examples) is None


def test_the_order_of_a_prototype_is_that_of_the_distance_to_means() -> None:
    examples = drawn(12)
    means = np.stack([examples.vectors[examples.classes == number].mean(axis=0) for number in range(3)])
    rows = drawn(50, seed=1).vectors
    far = ((rows[:, None] - means) ** 2).sum(axis=2)
    np.testing.assert_array_equal(fit(examples).probabilities(rows).argmax(axis=1), far.argmin(axis=1))


def test_probabilities_for_unseen_examples_are_about_right() -> None:
    found = fit(drawn(240, apart=0.5))
    others = drawn(3000, apart=0.5, seed=0).take(np.arange(240, 3000))
    shares = found.probabilities(others.vectors)
    assert 0.6 < (shares.argmax(axis=1) == others.classes).mean() < 0.99
    assert calibration_error(shares, others.classes) < 0.08


def test_labels_without_any_relation_to_the_vectors_are_not_learned() -> None:
    examples = drawn(120, apart=0.0)
    shares = held_out(examples)
    assert shares is not None
    assert 0.35 < auroc(shares, examples.classes) < 0.65
    assert shares.max() < 0.8


def test_a_group_is_never_parted_and_each_fold_has_each_class() -> None:
    examples = drawn(60)
    grouped = Examples(
        vectors=examples.vectors, classes=examples.classes, count=3, groups=tuple(str(n // 6) for n in range(60))
    )
    parts = splits(grouped, seed=0)
    assert len(parts) == FOLDS
    for train, test in parts:
        assert not {grouped.groups[n] for n in train} & {grouped.groups[n] for n in test}
        assert set(grouped.classes[train]) == {0, 1, 2}
    assert sorted(np.concatenate([test for _, test in parts])) == list(range(60))


def test_classes_in_one_group_alone_cannot_be_held_out() -> None:
    examples = drawn(30)
    alone = Examples(
        vectors=examples.vectors, classes=examples.classes, count=3, groups=tuple(map(str, examples.classes))
    )
    assert splits(alone, seed=0) == []
    assert not fit(alone).calibrated


def test_equal_examples_give_equal_numbers() -> None:
    one, other = fit(drawn(30)), fit(drawn(30))
    np.testing.assert_array_equal(one.weights, other.weights)
    assert one.temperature == other.temperature


@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.floats(0, 1)), min_size=2, max_size=30))
def test_auroc_counts_the_pairs_in_order(pairs: list[tuple[int, float]]) -> None:
    classes = np.array([kind for kind, _ in pairs])
    ones = np.array([share for _, share in pairs])
    shares = np.stack([1 - ones, ones], axis=1)
    found = auroc(shares, classes)
    positive, negative = shares[classes == 0, 0], shares[classes != 0, 0]
    if len(positive) and len(negative):
        order = positive[:, None] - negative
        assert found == pytest.approx(((order > 0) + 0.5 * (order == 0)).mean())
    elif set(classes) == {0}:
        assert np.isnan(found)


@pytest.mark.parametrize(
    ("shares", "classes", "error"), [([[0.9, 0.1]], [0], 0.1), ([[0.2, 0.8]] * 5, [1] * 4 + [0], 0.0)]
)
def test_the_calibration_error_is_the_gap_of_confidence_and_truth(shares: Any, classes: Any, error: float) -> None:
    assert calibration_error(np.array(shares), np.array(classes)) == pytest.approx(error)
