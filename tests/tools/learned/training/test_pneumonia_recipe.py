"""The pneumonia recipe's measures, its calibration, and what its regressions see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

for package in ("torch", "onnx", "onnxruntime"):
    pytest.importorskip(package, reason="needs torch and onnx: type python tests/experts/run.py")

from polyclinic.tools.learned.training.recipes.pneumonia import (  # noqa: E402
    RECIPE,
    _logistic,
    auroc,
    calibrated,
    calibration_error,
    cross_fitted,
)


@pytest.fixture
def scores() -> NDArray[np.float64]:
    """60 with the condition, then 60 without, whose scores lie two standard deviations apart."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(middle, 1.0, 60) for middle in (1.0, -1.0)])


TRUTH = np.repeat([1.0, 0.0], 60)


def test_ranking_is_measured_over_pairs() -> None:
    truth = np.array([1.0, 1.0, 0.0, 0.0])
    assert auroc(np.array([4.0, 3.0, 2.0, 1.0]), truth) == 1.0
    assert auroc(np.array([1.0, 1.0, 1.0, 1.0]), truth) == 0.5
    assert auroc(np.array([4.0, 1.0, 2.0, 0.0]), truth) == 0.75
    assert auroc(np.array([4.0, 1.0, 2.0, 0.0]), truth, np.array([0.0, 50.0, 0.0, 50.0])) == 1.0
    assert np.isnan(auroc(np.array([4.0, 1.0, 2.0, 0.0]), truth, np.array([0.0, 20.0, 40.0, 60.0])))


def test_calibration_says_what_is_so(scores: NDArray[np.float64]) -> None:
    calibration = calibrated(scores, TRUTH)
    assert calibration["slope"] == pytest.approx(2.0, rel=0.35)  # what two normal distributions two apart have
    assert 0.0 < calibration["absent below"] < calibration["present from"] < 1.0
    shares, right = cross_fitted(scores, TRUTH, [str(number) for number in range(120)])
    assert calibration_error(shares, TRUTH) < 0.12
    assert np.nanmean(right) > 0.8


def test_a_calibration_does_not_know_its_own_part(scores: NDArray[np.float64]) -> None:
    groups = [str(number) for number in range(120)]
    shares, _ = cross_fitted(scores, TRUTH, groups)
    turned = TRUTH.copy()
    turned[5] = 0.0
    again, _ = cross_fitted(scores, turned, groups)
    assert again[5] == shares[5]
    assert (again != shares).any()


def test_a_regression_sees_only_its_blocks() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0.0, 1.0, (80, 6))
    y = (x[:, 0] + 0.5 * rng.normal(0.0, 1.0, 80) > 0.0).astype(float)
    weights, offset = _logistic(x, y, (np.array([0, 1]), np.array([2])), 0.1)
    assert (weights[3:] == 0.0).all()
    assert ((x @ weights + offset > 0.0) == (y == 1.0)).mean() > 0.85


def test_the_items_are_of_two_kinds_and_grouped_by_patient(data_dir: Path) -> None:
    items = RECIPE.items(data_dir)
    assert {item.kind for item in items} == {"pneumonia", "no finding"}
    assert len({item.group for item in items}) < len(items)
    assert all(item.group in item.id for item in items)
