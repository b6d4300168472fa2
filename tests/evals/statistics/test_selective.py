"""Risk, coverage and calibration against their definitions, over every order of ties, and against scikit-learn."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.evals.statistics.selective import aurc, brier, calibration_error, reliability, risk_coverage

SURE = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.55, 0.9, 1.0])
ANSWERS = st.lists(st.tuples(SURE, st.booleans()), min_size=1, max_size=40)
FEW = st.lists(st.tuples(SURE, st.booleans()), min_size=1, max_size=5)


def apart(answers: list[tuple[float, bool]]) -> tuple[list[float], list[bool]]:
    return [sure for sure, _ in answers], [good for _, good in answers]


@given(ANSWERS, st.integers(0, 10))
def test_each_point_is_what_answering_from_there_on_gives(answers: list[tuple[float, bool]], silent: int) -> None:
    asked = len(answers) + silent
    points = risk_coverage(*apart(answers), asked=asked)
    assert [point.confidence for point in points] == sorted({sure for sure, _ in answers}, reverse=True)
    for point in points:
        given_ = [good for sure, good in answers if sure >= point.confidence]
        assert point.coverage == pytest.approx(len(given_) / asked)
        assert point.risk == pytest.approx(given_.count(False) / len(given_))


@given(FEW)
def test_the_area_is_the_mean_over_every_order_of_ties(answers: list[tuple[float, bool]]) -> None:
    areas = []
    for order in itertools.permutations(answers):
        if [sure for sure, _ in order] == sorted((sure for sure, _ in order), reverse=True):
            wrong = np.cumsum([not good for _, good in order])
            areas.append(float((wrong / np.arange(1, len(order) + 1)).mean()))
    assert aurc(*apart(answers)) == pytest.approx(np.mean(areas))


@given(ANSWERS, st.randoms())
def test_no_order_decides(answers: list[tuple[float, bool]], order: st.random.Random) -> None:
    mixed = order.sample(answers, len(answers))
    assert aurc(*apart(mixed)) == pytest.approx(aurc(*apart(answers)))
    assert risk_coverage(*apart(mixed)) == risk_coverage(*apart(answers))
    for by in ("width", "mass"):
        assert calibration_error(*apart(mixed), by=by) == pytest.approx(calibration_error(*apart(answers), by=by))


def test_the_area_of_the_best_the_worst_and_no_order() -> None:
    right = [True, True, False, False]
    assert aurc([0.9, 0.8, 0.2, 0.1], right) == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)
    assert aurc([0.1, 0.2, 0.8, 0.9], right) == pytest.approx((1 + 1 + 2 / 3 + 2 / 4) / 4)
    assert aurc([0.5] * 4, right) == pytest.approx(0.5)
    assert math.isnan(aurc([], []))
    assert risk_coverage([], []) == ()


@given(ANSWERS, st.integers(1, 12))
def test_bins_of_equal_width_are_open_below(answers: list[tuple[float, bool]], bins: int) -> None:
    edges = np.linspace(0, 1, bins + 1)
    expected = []
    for k, (low, high) in enumerate(itertools.pairwise(edges)):
        here = [(sure, good) for sure, good in answers if low < sure <= high or (k == 0 and sure == 0)]
        if here:
            expected.append((low, high, np.mean([s for s, _ in here]), np.mean([g for _, g in here]), len(here)))
    found = reliability(*apart(answers), bins=bins)
    assert [(one.low, one.high, one.confidence, one.accuracy, one.n) for one in found] == [
        pytest.approx(row) for row in expected
    ]
    gaps = sum(n * abs(sure - good) for _, _, sure, good, n in expected) / len(answers)
    assert calibration_error(*apart(answers), bins=bins) == pytest.approx(gaps, abs=1e-12)


@given(ANSWERS, st.integers(1, 12))
def test_diagrams_and_brier_agree_with_scikit_learn(answers: list[tuple[float, bool]], bins: int) -> None:
    calibration = pytest.importorskip("sklearn.calibration", reason="the reference is scikit-learn: polyclinic[eval]")
    metrics = pytest.importorskip("sklearn.metrics", reason="the reference is scikit-learn: polyclinic[eval]")
    sure, good = apart(answers)
    shares, means = calibration.calibration_curve(good, sure, n_bins=bins, pos_label=True)
    found = reliability(sure, good, bins=bins)
    assert [one.accuracy for one in found] == pytest.approx(list(shares))
    assert [one.confidence for one in found] == pytest.approx(list(means))
    assert brier(sure, good) == pytest.approx(metrics.brier_score_loss(good, sure, labels=[False, True]))


@given(ANSWERS, st.integers(1, 6))
def test_bins_of_equal_mass_part_no_confidence(answers: list[tuple[float, bool]], bins: int) -> None:
    found = reliability(*apart(answers), bins=bins, by="mass")
    assert sum(one.n for one in found) == len(answers)
    assert len(found) <= bins
    assert all(one.low <= one.confidence <= one.high or one.n > 1 for one in found)
    assert all(one.high < other.low for one, other in itertools.pairwise(found))


def test_bins_of_equal_mass_are_even_where_confidences_differ() -> None:
    sure = np.linspace(0.01, 0.99, 40)
    assert [one.n for one in reliability(sure, sure > 0.5, bins=8, by="mass")] == [5] * 8
    assert [one.n for one in reliability([0.8] * 9 + [0.9], [True] * 10, bins=5, by="mass")] == [9, 1]


def test_stated_and_found_shares_that_agree_have_no_error() -> None:
    sure, right = [0.8] * 5 + [0.2] * 5, [True] * 4 + [False] * 5 + [True]
    for by in ("width", "mass"):
        assert calibration_error(sure, right, by=by) == pytest.approx(0.0)
    assert calibration_error([1.0, 1.0], [False, False]) == 1.0
    assert math.isnan(calibration_error([], []))


def test_brier_is_the_mean_square() -> None:
    assert brier([0.5, 1.0, 0.0], [True, True, True]) == pytest.approx((0.25 + 0 + 1) / 3)
    assert math.isnan(brier([], []))


def test_what_is_no_confidence_is_refused() -> None:
    with pytest.raises(InputError, match="not NaN"):
        aurc([math.nan], [True])
    with pytest.raises(InputError, match="right or wrong"):
        brier([0.5], [0.7])
    with pytest.raises(InputError, match=r"confidences in \[0, 1\]"):
        calibration_error([85.0], [True])
    with pytest.raises(InputError, match="as many samples as answers"):
        risk_coverage([0.5, 0.6], [True, False], asked=1)


@pytest.mark.parametrize("sure", [-0.1, 1.1])
def test_a_confidence_that_is_no_probability_is_refused(sure: float) -> None:
    with pytest.raises(InputError):
        calibration_error([sure], [True])
