"""Classification figures against counts written out here and against scikit-learn, and where they are not defined."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.evals.metrics.classification import (
    accuracy,
    auroc,
    average_precision,
    classes_of,
    confusion,
    f1_of_each,
    kappa,
    macro_f1,
    mcc,
)

LABELS = st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from("ABCD")), min_size=1, max_size=40)
SCORED = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=40)


def sklearn_metrics() -> Any:
    return pytest.importorskip("sklearn.metrics", reason="the reference is scikit-learn: install polyclinic[eval]")


def apart(pairs: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [truth for truth, _ in pairs], [said for _, said in pairs]


def scored(pairs: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([truth for truth, _ in pairs]), np.array([score / 3 for _, score in pairs])


@given(LABELS)
def test_labels_agree_with_counts(pairs: list[tuple[str, str]]) -> None:
    truth, said = apart(pairs)
    table = confusion(truth, said, "ABCD")
    assert {(a, b): table["ABCD".index(a), "ABCD".index(b)] for a in "ABCD" for b in "ABCD"} == {
        (a, b): pairs.count((a, b)) for a in "ABCD" for b in "ABCD"
    }
    assert accuracy(truth, said) == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    for name, found in zip("ABCD", f1_of_each(truth, said, "ABCD"), strict=True):
        hits, both = pairs.count((name, name)), truth.count(name) + said.count(name)
        assert found == pytest.approx(2 * hits / both if both else 0.0)


@given(LABELS)
def test_mcc_is_the_correlation_of_class_indicators(pairs: list[tuple[str, str]]) -> None:
    truth, said = apart(pairs)
    ours, theirs = (
        np.array([[label == name for name in "ABCD"] for label in labels], float) for labels in (truth, said)
    )

    def covariance(one: np.ndarray, other: np.ndarray) -> float:
        return float(((one - one.mean(axis=0)) * (other - other.mean(axis=0))).mean(axis=0).sum())

    spread = covariance(ours, ours) * covariance(theirs, theirs)
    expected = covariance(ours, theirs) / math.sqrt(spread) if spread > 1e-12 else 0.0
    assert mcc(truth, said) == pytest.approx(expected, abs=1e-9)


@given(LABELS, st.sampled_from(["none", "linear", "quadratic"]))
def test_kappa_is_agreement_beyond_that_of_all_pairs(pairs: list[tuple[str, str]], weights: Any) -> None:
    truth, said = apart(pairs)

    def disagreement(one: str, other: str) -> float:
        gap = abs("ABCD".index(one) - "ABCD".index(other))
        return {"none": float(gap > 0), "linear": float(gap), "quadratic": float(gap**2)}[weights]

    observed = np.mean([disagreement(a, b) for a, b in pairs])
    by_chance = np.mean([disagreement(a, b) for a in truth for b in said])
    found = kappa(truth, said, weights=weights, classes="ABCD")
    if by_chance == 0:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(1 - observed / by_chance)


@given(LABELS)
def test_labels_agree_with_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    metrics = sklearn_metrics()
    truth, said = apart(pairs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where a figure is not defined
        assert accuracy(truth, said) == pytest.approx(metrics.accuracy_score(truth, said))
        assert macro_f1(truth, said) == pytest.approx(metrics.f1_score(truth, said, average="macro", zero_division=0))
        for classes in (list("ABCD"), list("AB")):
            theirs = metrics.f1_score(truth, said, average="macro", labels=classes, zero_division=0)
            assert macro_f1(truth, said, classes) == pytest.approx(theirs)
        assert mcc(truth, said) == pytest.approx(metrics.matthews_corrcoef(truth, said), abs=1e-9)
        np.testing.assert_array_equal(confusion(truth, said), metrics.confusion_matrix(truth, said))
        for weights in ("none", "linear", "quadratic"):
            theirs = metrics.cohen_kappa_score(
                truth, said, labels=list("ABCD"), weights=None if weights == "none" else weights
            )
            ours = kappa(truth, said, classes="ABCD", weights=weights)  # type: ignore[arg-type]
            assert ours == pytest.approx(theirs, nan_ok=True)


@given(SCORED)
def test_auroc_counts_pairs_and_ties_half(pairs: list[tuple[bool, int]]) -> None:
    truth, scores = scored(pairs)
    order = np.sign(scores[truth][:, None] - scores[~truth][None])
    expected = float((order / 2 + 0.5).mean()) if order.size else math.nan
    assert auroc(truth, scores) == pytest.approx(expected, nan_ok=True)


@given(SCORED)
def test_average_precision_adds_precision_where_recall_grows(pairs: list[tuple[bool, int]]) -> None:
    truth, scores = scored(pairs)
    expected, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = scores >= threshold
        recall = float(truth[taken].sum() / max(1, truth.sum()))
        expected += (recall - before) * float(truth[taken].mean())
        before = recall
    assert average_precision(truth, scores) == pytest.approx(expected if truth.any() else math.nan, nan_ok=True)


@given(SCORED)
def test_scores_agree_with_scikit_learn(pairs: list[tuple[bool, int]]) -> None:
    metrics = sklearn_metrics()
    truth, scores = scored(pairs)
    if truth.any():
        assert average_precision(truth, scores) == pytest.approx(metrics.average_precision_score(truth, scores))
        if not truth.all():
            assert auroc(truth, scores) == pytest.approx(metrics.roc_auc_score(truth, scores))


def test_figures_that_are_not_defined_are_nan() -> None:
    assert math.isnan(auroc([True, True], [0.1, 0.2]))
    assert math.isnan(auroc([False], [0.1]))
    assert math.isnan(auroc([], []))
    assert math.isnan(average_precision([False, False], [0.1, 0.2]))
    assert average_precision([True, True], [0.1, 0.2]) == 1.0
    assert math.isnan(kappa(["A", "A"], ["A", "A"]))
    assert math.isnan(kappa([], []))
    assert all(math.isnan(figure([], [])) for figure in (accuracy, macro_f1, mcc))


def test_one_class_alone_shows_no_relation() -> None:
    assert mcc(["A", "A"], ["A", "A"]) == 0.0
    assert mcc(["A", "B"], ["A", "A"]) == 0.0
    assert auroc([True, False, True], [1.0, 1.0, 1.0]) == 0.5
    assert average_precision([True, False, False, False], [1.0] * 4) == 0.25


def test_a_missing_class_counts_where_it_is_named() -> None:
    assert macro_f1(["A", "B"], ["A", "B"]) == 1.0
    assert macro_f1(["A", "B"], ["A", "B"], ["A", "B", "C"]) == pytest.approx(2 / 3)
    assert macro_f1(["A", "B"], ["A", ""], ["A", "B"]) == 0.5  # a silence costs its class and has none itself


def test_weighted_kappa_needs_the_grades_between() -> None:
    truth, said = ["1", "4", "1", "4"], ["1", "4", "4", "4"]
    graded = kappa(truth, said, weights="linear", classes=["1", "2", "3", "4"])
    assert graded == pytest.approx(kappa(truth, said))  # only the ends are used: all gaps are alike
    assert kappa([1, 2, 3], [1, 2, 4], weights="linear") > kappa([1, 2, 3], [1, 2, 4])


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(InputError, match="as many answers as truths"):
        accuracy(["A"], [])
    with pytest.raises(InputError, match="labels among"):
        confusion(["A"], ["E"], "ABCD")
    with pytest.raises(InputError, match="not NaN"):
        auroc([True, False], [0.5, math.nan])
    with pytest.raises(InputError, match="a truth and a score"):
        average_precision([True], [0.5, 0.6])


def test_what_is_no_list_of_items_is_refused_and_labels_sort_as_what_they_are() -> None:
    with pytest.raises(InputError, match="a truth and a score, not NaN, for each item"):
        auroc([[True], [False]], [[0.5], [0.6]])
    with pytest.raises(InputError, match="as many answers as truths"):
        mcc([], ["A"])
    assert classes_of([10, 9], [2]) == (2, 9, 10)


def test_infinite_scores_share_a_threshold() -> None:
    found = [average_precision(truth, [math.inf] * 2) for truth in ([True, False], [False, True])]
    assert found == [0.5, 0.5]
