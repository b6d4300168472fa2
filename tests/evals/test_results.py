"""What rows amount to: outcomes are never mixed, both accuracies are kept apart, and arms are paired by sample."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.evals.outcomes import OUTCOMES, Outcome, Row, Said
from polyclinic.evals.results import by_arm, compared, pair, results
from polyclinic.evals.statistics.intervals import wilson
from polyclinic.evals.tables import page


def row(sample: str, outcome: Outcome, **more: Any) -> Row:
    """A row of the benchmark "quiz" by the arm "one", each sample its own group unless told."""
    silent = outcome not in ("right", "wrong")
    said = more.pop("said", Said(silence=outcome) if silent else Said(option="A", answer="yes"))  # type: ignore[arg-type]
    given = {"benchmark": "quiz", "arm": "one", "group": sample, "target": "A: yes", "shown": "A: yes"} | more
    return Row(sample=sample, outcome=outcome, said=said, **given)


ONE_EACH = [row(outcome, outcome) for outcome in OUTCOMES]


def test_each_outcome_is_counted_as_itself() -> None:
    (found,) = results(ONE_EACH)
    assert found.outcomes == dict.fromkeys(OUTCOMES, 1)
    assert (found.over_all.right, found.over_all.n) == (1, 7)
    assert (found.over_answered.right, found.over_answered.n) == (1, 2)
    assert (found.over_all.low, found.over_all.high) == wilson(1, 7)


def test_a_sample_whose_key_changed_is_not_compared() -> None:
    with pytest.raises(
        InputError, match="quiz's s with two keys, 'A: yes' one of them; run both arms on the same data"
    ):
        pair([row("s", "right")], [row("s", "right", arm="two", target="B: no")])


@given(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_the_order_of_rows_means_nothing(outcomes: list[Any], random: Random) -> None:
    rows = [row(f"s{number}", outcome) for number, outcome in enumerate(outcomes)]
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert page(shuffled) == page(rows)
    (found,) = results(rows)
    assert sum(found.outcomes.values()) == found.over_all.n == len(rows)


def test_without_an_answer_there_is_no_accuracy_of_answers() -> None:
    (found,) = results([row("a", "failed"), row("b", "abstained")])
    assert math.isnan(found.over_answered.value)
    assert found.over_all.value == 0.0
    assert "| none |" in page([row("a", "failed")])


def test_samples_of_one_group_widen_the_interval() -> None:
    alone = [row(f"s{n}", "right" if n < 50 else "wrong") for n in range(100)]
    together = [each.model_copy(update={"group": f"g{n // 10}"}) for n, each in enumerate(alone)]
    (a,), (b,) = results(alone), results(together)
    assert b.over_all.high - b.over_all.low > 2 * (a.over_all.high - a.over_all.low)
    assert (a.groups, b.groups) == (100, 10)


def test_arms_are_compared_on_the_samples_both_have() -> None:
    first = [row(f"s{n}", "right" if n < 8 else "wrong") for n in range(10)]
    second = [row(f"s{n}", "right" if n < 2 else "abstained", arm="two") for n in range(12)]
    found = pair(first, second)
    assert (found.n, found.test.for_first, found.test.for_second) == (10, 6, 0)
    assert found.test.p == pytest.approx(2 / 2**6)
    assert found.difference.value == pytest.approx(0.6)
    with pytest.raises(InputError, match=r"two arms with samples in common"):
        pair(first, [row("elsewhere", "right", arm="two")])


def test_several_comparisons_are_adjusted_within_a_benchmark() -> None:
    rows = [
        row(f"s{n}", "right" if n < right else "wrong", arm=arm)
        for arm, right in (("a", 12), ("b", 6), ("c", 5))
        for n in range(12)
    ]
    found = compared(rows)
    assert [(each.first, each.second) for each in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert all(each.adjusted_p >= each.test.p for each in found)
    assert found[1].adjusted_p == pytest.approx(3 * found[1].test.p)


def test_a_p_that_no_float_can_hold_is_not_nought() -> None:
    rows = [row(f"s{n}", "right" if arm == "a" else "wrong", arm=arm) for arm in "ab" for n in range(1100)]
    assert "| 1,100 | 0 | < 1e-300 | < 1e-300 |" in page(rows)


def test_a_sample_that_is_there_twice_is_told() -> None:
    with pytest.raises(
        InputError, match=r"each sample of quiz once for the arm one; got s1 twice; name each shard once"
    ):
        by_arm([row("s1", "right"), row("s1", "wrong")])
    assert len(by_arm([row("s1", "right"), row("s1", "wrong", epoch=2)])["quiz", "one"]) == 2


def test_confidence_is_judged_where_there_is_one() -> None:
    sure = Said(option="A", answer="yes", confidence=0.9)
    (found,) = results([row("a", "right", said=sure), row("b", "wrong", said=sure), row("c", "right")])
    assert found.confident == 2
    assert found.calibration_error == pytest.approx(0.4)
    assert found.brier == pytest.approx((0.01 + 0.81) / 2)


def test_facets_have_a_table_of_their_own() -> None:
    rows = [
        row(f"s{n}", "right" if n % 2 else "wrong", facets={"organ": "chest" if n % 2 else "head"}) for n in range(8)
    ]
    text = page(rows)
    assert "| chest | 4 | 1.000" in text
    assert "| head | 4 | 0.000" in text


def test_epochs_are_no_new_evidence() -> None:
    def asked(epochs: int) -> list[Row]:
        outcomes: dict[str, Outcome] = {f"s{n}": "right" if n < 12 else "wrong" for n in range(20)}
        first = [row(name, good, epoch=e) for name, good in outcomes.items() for e in range(1, epochs + 1)]
        return [*first, *(each.model_copy(update={"arm": "two", "outcome": "wrong"}) for each in first)]

    (once,), (often,) = compared(asked(1)), compared(asked(8))
    assert (once.test, once.groups, once.difference.value) == (often.test, often.groups, often.difference.value)
    assert often.n == 160
    assert "| one | 20 × 8 epochs |" in page(asked(8))


def test_a_group_counts_for_the_arm_that_has_more_of_it_right() -> None:
    first = [row(f"s{n}", "right", group="g1") for n in range(3)] + [row("t", "wrong", group="g2")]
    second = [row(f"s{n}", "wrong", group="g1", arm="two") for n in range(3)] + [
        row("t", "right", group="g2", arm="two")
    ]
    found = pair(first, second)
    assert (found.test.for_first, found.test.for_second, found.groups) == (1, 1, 2)


def test_arms_made_from_the_samples_are_marked_and_not_tested() -> None:
    taught = Said(option="A", answer="yes", trained_on_these="yes")
    rows = [row("a", "right"), row("a", "wrong", arm="two"), row("a", "right", arm="net", said=taught)]
    assert {(each.first, each.second) for each in compared(rows)} == {("one", "two")}
    text = page(rows)
    assert "| net (made from these samples) |" in text
    assert "figures measure nothing: net. They are left out" in text


def test_what_self_consistency_cost_is_told() -> None:
    team = row("a", "right", arm="team", said=Said(option="A", prompt_tokens=900, completion_tokens=100))
    own = row("a", "right", arm="self-consistency", said=Said(option="A", prompt_tokens=500, completion_tokens=80))
    assert "Self-consistency used 58 % of the team's tokens: more than 64 samples" in page([team, own])


def test_a_pair_is_of_one_sample_and_one_epoch() -> None:
    twice = [row("s", "right"), row("s", "wrong", epoch=2)]
    assert pair(twice, [row("s", "wrong", arm="two")]).n == 1
    same = pair(twice, [row("s", "right", arm="two"), row("s", "wrong", epoch=2, arm="two")])
    assert same.difference.value == 0.0


def test_comparisons_of_another_benchmark_do_not_count() -> None:
    rows = [
        row(f"s{n}", "right" if arm == "a" else "wrong", arm=arm, benchmark=benchmark)
        for benchmark in ("x", "y")
        for arm in "ab"
        for n in range(12)
    ]
    assert [each.adjusted_p == each.test.p for each in compared(rows)] == [True, True]


def test_coverage_is_of_all_that_were_asked() -> None:
    (found,) = results([row("a", "right", said=Said(option="A", confidence=0.9)), row("b", "abstained")])
    assert found.curve[-1].coverage == 0.5
