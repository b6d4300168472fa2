"""Figures of a set against their definitions: COCO's average precision, AUROC, means over groups."""

from __future__ import annotations

import math

import pytest
from hypothesis import strategies as st

from polyclinic.evals.outcomes import Outcome, Place, Row, Said
from polyclinic.evals.set_scores import set_scores
from polyclinic.evals.statistics.intervals import wilson

BOX = st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 5), st.integers(1, 5)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)
PLACES = st.lists(
    st.builds(Place, label=st.sampled_from("ab"), box=BOX, score=st.sampled_from([0.1, 0.5, 0.9])), max_size=5
)
PICTURES = st.lists(st.tuples(PLACES, PLACES), min_size=1, max_size=4)


def row(number: int, outcome: Outcome = "right", group: str = "", **more: object) -> Row:
    given = {"scores": {}, "said": Said(), "target": "A: yes"} | more
    return Row.model_validate(
        {"benchmark": "quiz", "arm": "one", "sample": f"s{number}", "group": group or f"g{number}", "shown": "",
         "outcome": outcome} | given
    )  # fmt: skip


def test_boxes_of_a_set_have_a_precision_for_each_label() -> None:
    red, white = Place(label="a", box=(0, 0, 4, 4)), Place(label="b", box=(6, 6, 9, 9))
    rows = [
        row(1, there=(red, white), said=Said(boxes=(red, white))),
        row(
            2, "wrong", there=(red,), said=Said(boxes=(red.model_copy(update={"box": (20, 20, 24, 24), "score": 0.5}),))
        ),
        row(3, "abstained", there=(red,)),
    ]
    found = set_scores(rows)
    assert found["b AP at IoU 0.5"].value == pytest.approx(1.0)
    assert found["a AP at IoU 0.5"].value == pytest.approx(51 / 101)
    assert found["mAP at IoU 0.5"].value == pytest.approx((1 + 51 / 101) / 2)
    assert found["mAP at IoU 0.5"].n == 2
    assert found["mAP at IoU 0.5 to 0.95"].value == found["mAP at IoU 0.5"].value  # boxes lie exactly or elsewhere
    over_all = found["mAP at IoU 0.5 over all"]  # of three red ones one is found, which is a recall of a third
    assert (over_all.value, over_all.n) == (pytest.approx((1 + 34 / 101) / 2), 3)
    assert "mAP at IoU 0.5 over all" not in set_scores(rows[:2])


def test_names_of_boxes_say_nothing_only_where_the_benchmark_names_none() -> None:
    place = Place(label="nodule", box=(0, 0, 4, 4))
    unnamed = row(1, there=(place.model_copy(update={"label": ""}),), said=Said(boxes=(place,)))
    nothing_there = row(2, said=Said(boxes=(place.model_copy(update={"box": (9, 9, 12, 12), "score": 0.1}),)))
    assert set_scores([unnamed, nothing_there])["mAP at IoU 0.5"].value == pytest.approx(1.0)
    assert set_scores([unnamed])["AP at IoU 0.5"].value == pytest.approx(1.0)
    misnamed = row(1, there=(place.model_copy(update={"label": "mass"}),), said=Said(boxes=(place,)))
    assert set_scores([misnamed])["mAP at IoU 0.5"].value == 0.0


def test_counts_have_no_upper_end_and_no_draws_no_interval() -> None:
    ones = set_scores([row(number, scores={"WBC count error": 1.0}) for number in range(6)])["mean WBC count error"]
    assert (ones.value, ones.n) == (1.0, 6)
    assert math.isnan(ones.low)
    mixed = [row(number, scores={"WBC count error": float(number > 1)}) for number in range(6)]
    assert set_scores(mixed)["mean WBC count error"].high > 1.0
    shares = [row(number, scores={"exact": float(number > 1)}) for number in range(6)]
    assert set_scores(shares)["mean exact"].high < 1.0
    perfect = [
        row(number, target=f"{'AB'[number % 2]}: x", said=Said(chances={"A": 1.0 - number % 2, "B": float(number % 2)}))
        for number in range(20)
    ]
    assert set_scores(perfect)["AUROC"].value == 1.0
    assert math.isnan(set_scores(perfect)["AUROC"].low)


def test_claims_that_nothing_supports_are_counted_over_all_claims() -> None:
    rows = [row(1, said=Said(claims=3, unsupported=1)), row(2, "abstained", said=Said(claims=1)), row(3, "failed")]
    found = set_scores(rows)["unsupported claims"]
    assert (found.value, found.n) == (0.25, 2)
    none = set_scores([row(number, said=Said(claims=2)) for number in range(12)])["unsupported claims"]
    assert (none.value, none.low, none.high) == (0.0, *wilson(0, 12))


def test_what_was_left_out_lowers_the_mean_over_all() -> None:
    rows = [row(1, scores={"Dice": 0.8}), row(2, scores={"Dice": 0.6}), row(3, "abstained")]
    found = set_scores(rows)
    assert found["mean Dice"].value == pytest.approx(0.7)
    assert found["mean Dice over all"].value == pytest.approx(1.4 / 3)
    assert "mean Dice over all" not in set_scores(rows[:2])


def test_a_share_of_what_is_there_counts_no_empty_picture_as_a_miss() -> None:
    empty = [row(number, said=Said(boxes=())) for number in range(5)]
    full = [row(number, scores={"matched share": 1.0}, said=Said(boxes=())) for number in range(5, 10)]
    found = set_scores([*empty, *full])
    assert found["mean matched share"].value == 1.0
    assert "mean matched share over all" not in found
    silent = set_scores([*empty, *full, row(10, "failed")])["mean matched share over all"]
    assert (silent.value, silent.n) == (pytest.approx(5 / 6), 6)


def test_intervals_are_drawn_over_groups() -> None:
    values = [0.1, 0.2, 0.15, 0.8, 0.9, 0.85] * 3
    alone = set_scores([row(k, scores={"Dice": v}) for k, v in enumerate(values)])["mean Dice"]
    grouped = set_scores([row(k, group=str(v > 0.5), scores={"Dice": v}) for k, v in enumerate(values)])["mean Dice"]
    assert alone.value == grouped.value
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_probabilities_count_whether_anything_was_claimed_or_not() -> None:
    listed = [("A: yes", 0.9), ("A: yes", 0.6), ("A: yes", 0.3), ("B: no", 0.2), ("B: no", 0.4)]
    rows = [
        row(
            number,
            "abstained" if chance == 0.6 else "right",
            target=target,
            said=Said(chances={"A": chance, "B": 1 - chance}),
        )
        for number, (target, chance) in enumerate(listed)
    ]
    found = set_scores(rows)
    assert found["AUROC"].value == pytest.approx(5 / 6)
    assert found["accuracy of the likeliest option"].value == pytest.approx(4 / 5)
    assert found["share of pictures it decides"].value == pytest.approx(4 / 5)
    assert found["AUROC"].n == 5
    failed = set_scores([*rows, row(9, "failed"), row(10, "failed")])
    assert (failed["AUROC"].n, failed["share of pictures it decides"].n) == (5, 7)
    assert failed["share of pictures it decides"].value == pytest.approx(4 / 7)


def test_rows_without_numbers_have_no_figures() -> None:
    assert set_scores([row(1), row(2, "failed")]) == {}
