"""What a report computes beside accuracies: sets, steps, matrices, letters, and the samples worth a look, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polyclinic.evals.outcomes import Outcome, Row, Said
from polyclinic.evals.report.cases import silences, traced_from, worst
from polyclinic.evals.report.choices import letters, matrices
from polyclinic.evals.report.plots import ticks
from polyclinic.evals.report.summary import about, summaries
from polyclinic.evals.results import MOST_VALUES, OTHERS, compared, facets, sets
from polyclinic.evals.statistics.intervals import share_interval, wilson

TEXTS = {"A": "yes", "B": "no", "C": "maybe"}


def row(sample: str, outcome: Outcome, **more: Any) -> Row:
    said = more.pop("said", None) or Said(silence="" if outcome in ("right", "wrong") else outcome, option="A")
    given = {"benchmark": "quiz", "arm": "one", "group": sample, "target": "A: yes", "shown": "A: yes"} | more
    return Row(sample=sample, outcome=outcome, said=said, **given)


def choice(number: int, right: str, said: str, *, arm: str = "one", texts: dict[str, str] = TEXTS) -> Row:
    outcome: Outcome = "abstained" if not said else "right" if said == right else "wrong"
    return row(
        f"s{number}", outcome, arm=arm, target=f"{right}: {texts[right]}", shown=f"{said}: {texts.get(said, '')}",
        said=Said(option=said) if said else Said(silence="abstained"),
    )  # fmt: skip


def test_a_set_is_right_when_all_its_samples_are_and_a_lone_sample_is_no_set() -> None:
    outcomes: list[tuple[Outcome, Outcome]] = [("right", "right"), ("right", "wrong"), ("abstained", "right")]
    rows = [
        row(f"p{pair}-{which}", outcome, asked_with=f"p{pair}", group=f"p{pair}")
        for pair, both in enumerate(outcomes)
        for which, outcome in enumerate(both)
    ]
    (found,) = sets([*rows, row("p9-0", "right", asked_with="p9")])
    assert (found.whole.right, found.whole.n, found.alone) == (1, 3, 1)
    assert (found.fewest, found.most, found.steps) == (2, 2, {})
    assert sets([row("a", "right"), row("b", "wrong")]) == ()


def test_a_step_counts_only_after_right_ones_and_steps_keep_their_order() -> None:
    chains = {
        "c1": {"init-0": "right", "stage2-0": "right", "stage2-1": "right", "stage10-0": "right"},
        "c2": {"init-0": "right", "stage2-0": "right", "stage2-1": "wrong", "stage10-0": "right"},
        "c3": {"init-0": "wrong", "stage2-0": "right"},
    }
    rows = [
        row(f"{chain}-{step}", outcome, asked_with=chain, facets={"step": step.split("-")[0]})  # type: ignore[arg-type]
        for chain, steps in chains.items()
        for step, outcome in steps.items()
    ]
    (found,) = sets(reversed(rows))
    assert list(found.steps.items()) == [
        ("init", pytest.approx(2 / 3)), ("stage2", pytest.approx(1 / 3)), ("stage10", pytest.approx(1 / 2)),
    ]  # fmt: skip


def test_options_of_one_text_each_make_a_matrix_with_silence_apart() -> None:
    said = [("A", "A"), ("A", "A"), ("A", "B"), ("B", "B"), ("B", ""), ("C", "A"), ("C", "C"), ("A", "A")]
    (found,) = matrices([choice(number, *both) for number, both in enumerate(said)])
    assert found.classes == ("A: yes", "B: no", "C: maybe")
    assert found.counts == ((3, 1, 0, 0), (0, 1, 0, 1), (1, 0, 1, 0))
    assert found.macro_f1 == pytest.approx((6 / 8 + 2 / 4 + 2 / 3) / 3)
    assert found.kappa == pytest.approx((5 * 8 - 22) / (64 - 22))
    assert found.mcc == pytest.approx((5 * 8 - 22) / ((64 - 24) * (64 - 22)) ** 0.5)


def test_options_of_several_texts_are_letters_alone_and_show_who_always_says_one() -> None:
    many = [{letter: f"{letter}{number}" for letter in "ABC"} for number in range(8)]
    rows = [
        choice(number, "ABCB"[number % 4], "A" if arm == "a" else "ABCB"[number % 4], arm=arm, texts=many[number])
        for number in range(8)
        for arm in ("a", "all")
    ]
    assert matrices(rows) == ()
    found = letters(rows)
    assert found is not None
    assert dict(found.right) == dict(found.chosen["all"]) == {"A": 2, "B": 4, "C": 2}
    assert dict(found.chosen["a"]) == {"A": 8, "B": 0, "C": 0}
    assert letters([row("x", "right", target="pneumonia")]) is None


def test_the_worst_are_those_an_arm_was_surest_of() -> None:
    wrong = {"a": 0.2, "b": 0.9, "c": None, "d": 0.9}
    rows = [row(name, "wrong", said=Said(option="B", confidence=sure)) for name, sure in wrong.items()]
    (found,) = worst([*rows, row("e", "right", said=Said(option="A", confidence=1.0))], most=3)
    assert [each.sample for each in found.rows] == ["b", "d", "a"]
    assert found.wrong == 4


def test_reasons_for_silence_are_counted_by_outcome() -> None:
    whys = ["late", "late", "busy"]
    rows = [row(f"s{n}", "timed_out", said=Said(silence="timed_out", why=why)) for n, why in enumerate(whys)]
    found = silences([*rows, row("z", "failed", said=Said(silence="failed", why="late")), row("y", "right")])
    assert [(each.outcome, each.why, each.n, each.first.sample) for each in found] == [
        ("failed", "late", 1, "z"), ("timed_out", "late", 2, "s0"), ("timed_out", "busy", 1, "s2"),
    ]  # fmt: skip


def test_facets_of_many_values_keep_every_sample() -> None:
    rows = [row(f"s{n}", "right", facets={"subject": f"v{n % 40:02}", "only": "one"}) for n in range(100)]
    (found,) = facets(rows)
    assert found.name == "subject"
    assert len(found.values) == MOST_VALUES
    assert sum(shares[0].n for shares in found.values.values()) == 100
    assert found.values[OTHERS][0].n > 0


def test_arms_that_share_no_sample_are_not_compared() -> None:
    assert compared([row("a", "right"), row("b", "right", arm="two")]) == ()


def test_traces_of_several_runs_are_named_from_the_folder_of_the_page(tmp_path: Path) -> None:
    rows = [row("a", "wrong", said=Said(option="B", trace="runs/quiz/one/a-1/r")), row("b", "wrong")]
    found = traced_from(rows, run=tmp_path / "shards" / "1", page=tmp_path / "pages")
    assert [each.said.trace for each in found] == ["../shards/1/runs/quiz/one/a-1/r", ""]


def test_what_is_known_of_a_benchmark_comes_from_its_file() -> None:
    found = about("pubmedqa")
    assert found is not None
    assert found.licence == "MIT"
    assert "`LONG_ANSWER` is the conclusion" in found.traps
    assert about("quiz") is None
    (summary,) = summaries([row("a", "wrong", said=Said(option="B", trained_on_these="yes"))])
    assert summary.taught == ("one",)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.41, 0.12), (0.0, 3640.0), (0.0, 1e-3), (0.3, 0.3)])
def test_ticks_are_round_and_hold_the_range(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low <= high <= found[-1]
    assert 2 <= len(found) <= 9


def test_what_one_arm_says_changes_no_figure_of_another() -> None:
    own = [choice(number, "AB"[number % 2], "A", arm="one") for number in range(20)]
    other = [choice(number, "AB"[number % 2], "C" if number == 3 else "B", arm="two") for number in range(20)]
    alone = matrices(own)[0]
    beside = next(each for each in matrices([*own, *other]) if each.arm == "one")
    assert (alone.macro_f1, alone.mcc, alone.kappa) == (beside.macro_f1, beside.mcc, beside.kappa)
    assert alone.macro_f1 == pytest.approx(1 / 3)  # F1 of A is 2/3, of B 0


def test_epochs_of_a_sample_are_no_samples_of_their_own() -> None:
    rows = [
        choice(number, "AB"[number % 2], "A").model_copy(update={"epoch": epoch, "group": f"s{number}"})
        for number in range(20)
        for epoch in (1, 2, 3)
    ]
    sure = [row.model_copy(update={"said": row.said.model_copy(update={"confidence": 0.8})}) for row in rows]
    (found,) = worst(sure)
    assert (found.wrong, len({row.sample for row in found.rows}), len(found.rows)) == (10, 10, 10)
    seen = letters(sure)
    assert seen is not None
    assert seen.right == {"A": 30, "B": 30}
    result = summaries(sure)[0].results[0]
    (drawn,) = result.bins
    assert drawn.within == pytest.approx((result.over_all.low, result.over_all.high))
    assert drawn.within == pytest.approx(wilson(10, 20, freedom=19))


def test_a_facet_of_as_many_values_as_are_shown_has_no_others() -> None:
    (found,) = facets([row(f"s{n}", "right", facets={"f": f"v{n:02}"}) for n in range(MOST_VALUES)])
    assert len(found.values) == MOST_VALUES
    assert OTHERS not in found.values


def test_steps_stand_in_the_order_in_which_they_first_come() -> None:
    steps = {"c-0": "x", "c-5": "y", "d-7": "x", "d-9": "x"}
    (found,) = sets([row(name, "right", asked_with=name[0], facets={"step": step}) for name, step in steps.items()])
    assert list(found.steps) == ["x", "y"]


def test_each_epoch_of_a_set_stands_or_falls_by_itself() -> None:
    rows = [
        row(f"p-{which}", "wrong" if epoch == 2 and which else "right", asked_with="p", epoch=epoch,
            facets={"step": f"step{which}"})
        for epoch in (1, 2)
        for which in (0, 1)
    ]  # fmt: skip
    (found,) = sets(rows)
    assert (found.whole.right, found.whole.n) == (1, 2)
    assert dict(found.steps) == {"step0": 1.0, "step1": 0.5}


def test_sets_of_one_group_are_worth_what_the_group_is() -> None:
    rows = [
        row(f"p{n}-{which}", "right" if n < 6 else "wrong", asked_with=f"p{n}", group="g")
        for n in range(12)
        for which in (0, 1)
    ]
    whole = sets(rows)[0].whole
    assert (whole.low, whole.high) == share_interval([n < 6 for n in range(12)], ["g"] * 12)
