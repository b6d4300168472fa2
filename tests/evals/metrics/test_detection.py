"""Boxes against definitions written out here and against pycocotools."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.evals.metrics.detection import (
    THRESHOLDS,
    Found,
    There,
    box_iou,
    curve,
    mean_average_precision,
)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    x, y = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    return float(x), float(y), float(x + draw(st.integers(0, 4))), float(y + draw(st.integers(0, 4)))


def with_area(box: Sequence[float]) -> bool:
    return box[2] > box[0] and box[3] > box[1]


@st.composite
def pictures(draw: st.DrawFn, *, tied: bool) -> tuple[list[list[There]], list[list[Found]]]:
    """What is there and what is found in up to four pictures; scores differ, or come from three values."""
    real = boxes().filter(with_area)
    truth, said = [], []
    for _ in range(draw(st.integers(1, 4))):
        truth.append(draw(st.lists(st.tuples(st.sampled_from("ab"), real), max_size=4)))
        near = st.sampled_from([box for _, box in truth[-1]]) | real if truth[-1] else real
        said.append(draw(st.lists(st.tuples(st.sampled_from("abc"), near), max_size=6)))
    count = sum(map(len, said))
    scores = draw(
        st.lists(st.sampled_from([0.2, 0.5, 0.9]), min_size=count, max_size=count)
        if tied
        else st.permutations([(k + 1) / (count + 1) for k in range(count)])
    )
    drawn = iter(scores)
    return truth, [[(label, box, next(drawn)) for label, box in found] for found in said]


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0.0, wide) * max(0.0, high)
    whole = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - common
    return common / whole if whole else 0.0


@given(st.lists(boxes(), max_size=4), st.lists(boxes(), max_size=4))
def test_overlap_is_common_area_over_all_area(said: Any, truth: Any) -> None:
    found = box_iou(said, truth)
    assert found.shape == (len(said), len(truth))
    for i, j in itertools.product(range(len(said)), range(len(truth))):
        assert found[i, j] == pytest.approx(overlap(said[i], truth[j]))


def by_hand(truth: Sequence[Sequence[There]], said: Sequence[Sequence[Found]], label: str, least: float) -> float:
    """The average precision of one label at one threshold, each step in a loop of its own."""
    marks: list[tuple[float, bool]] = []
    count = 0
    for there, found in zip(truth, said, strict=True):
        free = sorted(box for name, box in there if name == label)
        count += len(free)
        for negative, box in sorted((-score, box) for name, box, score in found if name == label):
            best = max(free, key=lambda one: (overlap(box, one), one), default=None)
            hit = best is not None and overlap(box, best) >= least
            if hit:
                free.remove(best)
            marks.append((-negative, hit))
    points = []
    for score in sorted({score for score, _ in marks}):
        taken = [hit for other, hit in marks if other >= score]
        points.append((sum(taken) / count, sum(taken) / len(taken)))
    read = [max((p for r, p in points if r >= recall), default=0.0) for recall in np.linspace(0, 1, 101)]
    return float(np.mean(read))


def check(truth: Sequence[Sequence[There]], said: Sequence[Sequence[Found]]) -> None:
    found = mean_average_precision(truth, said)
    labels = sorted({label for there in truth for label, _ in there})
    if not labels:
        assert math.isnan(found.mean)
        assert math.isnan(found.at_50)
        return
    each = {label: [by_hand(truth, said, label, least) for least in THRESHOLDS] for label in labels}
    assert found.each_at_50 == pytest.approx({label: values[0] for label, values in each.items()})
    assert found.at_50 == pytest.approx(np.mean([values[0] for values in each.values()]))
    assert found.mean == pytest.approx(np.mean(list(each.values())))


@given(pictures(tied=False))
def test_average_precision_is_that_counted_by_hand(drawn: Any) -> None:
    check(*drawn)


@given(pictures(tied=True))
def test_equal_scores_enter_together(drawn: Any) -> None:
    check(*drawn)


@given(pictures(tied=True), st.randoms())
def test_no_order_decides(drawn: Any, order: Any) -> None:
    truth, said = drawn
    mixed = list(zip(truth, said, strict=True))
    order.shuffle(mixed)
    again = [(order.sample(there, len(there)), order.sample(found, len(found))) for there, found in mixed]
    found = mean_average_precision([there for there, _ in again], [found for _, found in again])
    expected = mean_average_precision(truth, said)
    assert found.mean == pytest.approx(expected.mean, nan_ok=True)
    assert found.at_50 == pytest.approx(expected.at_50, nan_ok=True)


def as_coco(objects: Sequence[Sequence[Any]], coco: Any) -> Any:
    annotations = []
    for picture, found in enumerate(objects):
        for label, (x0, y0, x1, y1), *score in sorted(found):
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": picture, "category_id": "abc".index(label), "iscrowd": 0,
                    "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "score": (*score, 0.0)[0],
                }
            )  # fmt: skip
    made = coco()
    made.dataset = {
        "info": {}, "images": [{"id": picture} for picture in range(len(objects))], "annotations": annotations,
        "categories": [{"id": number} for number in range(3)],
    }  # fmt: skip
    made.createIndex()
    return made


@pytest.fixture(scope="module")
def coco() -> Any:
    from pycocotools import coco, cocoeval

    return SimpleNamespace(COCO=coco.COCO, COCOeval=cocoeval.COCOeval)


@given(pictures(tied=False))
@example(([[("a", (0.0, 0.0, 2.0, 2.0))]], [[]]))
def test_average_precision_is_pycocotools_where_scores_differ(coco: Any, drawn: Any) -> None:
    truth, said = drawn
    judge = coco.COCOeval(as_coco(truth, coco.COCO), as_coco(said, coco.COCO), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    found = mean_average_precision(truth, said)
    expected = [value if value >= 0 else math.nan for value in judge.stats[:2]]  # -1: no label is there
    assert [found.mean, found.at_50] == pytest.approx(expected, nan_ok=True)


BOX = (0.0, 0.0, 10.0, 10.0)


def test_labels_that_are_never_there_are_not_seen_and_missed_ones_count_nothing() -> None:
    assert mean_average_precision([[("a", BOX)]], [[("a", BOX, 0.5), ("b", BOX, 0.9)]]).mean == pytest.approx(1.0)
    missed = mean_average_precision([[("a", BOX), ("b", BOX)]], [[("a", BOX, 0.5)]])
    assert missed.each_at_50 == pytest.approx({"a": 1.0, "b": 0.0})
    assert missed.mean == pytest.approx(0.5)
    assert mean_average_precision([[("a", BOX)]], [[]]).mean == 0.0
    assert math.isnan(mean_average_precision([[]], [[("a", BOX, 0.5)]]).mean)
    assert math.isnan(mean_average_precision([], []).at_50)


def test_without_scores_the_curve_has_one_point() -> None:
    elsewhere = (50.0, 50.0, 60.0, 60.0)
    truth = [[("a", BOX)], [("a", BOX)]]
    right, wrong = [("a", BOX, 1.0)], [("a", elsewhere, 1.0)]
    assert mean_average_precision(truth, [right, wrong]) == mean_average_precision(truth, [wrong, right])
    assert mean_average_precision(truth, [right, wrong]).at_50 == pytest.approx(0.5 * 51 / 101)


def test_a_hundred_boxes_of_a_label_count_in_a_picture() -> None:
    elsewhere = [("a", (50.0 + k, 50.0, 60.0 + k, 60.0), 0.9) for k in range(100)]
    assert mean_average_precision([[("a", BOX)]], [[*elsewhere, ("a", BOX, 0.1)]]).mean == 0.0
    assert mean_average_precision([[("a", BOX)]], [[*elsewhere[1:], ("a", BOX, 0.1)]]).mean == pytest.approx(0.01)


def test_boxes_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match=r"x0 ≤ x1"):
        box_iou([(5, 5, 2, 2)], [BOX])
    with pytest.raises(InputError, match="finite boxes"):
        box_iou([(0, 0, math.nan, 2)], [BOX])
    with pytest.raises(InputError, match="the same pictures"):
        mean_average_precision([[]], [])
    with pytest.raises(InputError, match="a score for each box"):
        mean_average_precision([[("a", BOX)]], [[("a", BOX, math.nan)]])


@given(pictures(tied=True), st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_precision_of_drawn_pictures_is_that_of_these_pictures(drawn: Any, again: list[int]) -> None:
    truth, said = drawn
    index = np.array([number % len(truth) for number in again], dtype=np.int64)
    got = curve("a", truth, said).precision(index)
    alone = [[(label, box) for label, box in truth[k] if label == "a"] for k in index]
    expected = mean_average_precision(alone, [said[k] for k in index])
    assert got[0] == pytest.approx(expected.at_50, nan_ok=True, abs=1e-12)
    assert got.mean() == pytest.approx(expected.mean, nan_ok=True, abs=1e-12)


def flat(left: float, right: float) -> There:
    """A box of height 1."""
    return ("a", (left, 0.0, right, 1.0))


def test_boxes_that_overlap_two_alike_take_the_last_by_corners_however_truths_are_listed() -> None:
    truth, said = [flat(1, 3), flat(2, 4)], [[(*flat(2, 3), 0.9), (*flat(1, 3), 0.5)]]
    assert mean_average_precision([truth], said).at_50 == 1.0
    assert mean_average_precision([truth[::-1]], said).at_50 == 1.0


def test_boxes_of_one_score_are_taken_by_corners_however_they_are_listed() -> None:
    truth, said = [[flat(10, 20), flat(15, 25)]], [(*flat(12, 22), 0.5), (*flat(7, 17), 0.5)]
    assert mean_average_precision(truth, [said]) == mean_average_precision(truth, [said[::-1]])


def test_infinite_scores_are_ties_as_others_are() -> None:
    truth = [[flat(0, 2)], []]
    found = [
        mean_average_precision(truth, [[(*flat(0, 2), score)], [(*flat(0, 2), score)]]).at_50
        for score in (0.5, math.inf)
    ]
    assert found[0] == found[1] == mean_average_precision(truth[::-1], [[(*flat(0, 2), math.inf)]] * 2).at_50
