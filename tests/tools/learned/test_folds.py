"""Splits and intervals: groups stay together, order means nothing, and a known spread is found again."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.tools.bootstrap import interval
from polyclinic.tools.learned.training import table
from polyclinic.tools.learned.training.intervals import figure, figure_of
from polyclinic.tools.learned.training.items import Item, find_folder, folds, try_folder
from polyclinic.tools.learned.training.table import RECIPES, check_name


def some(groups: list[int], kinds: list[int]) -> list[Item]:
    return [
        Item(id=f"{number:03}", group=f"g{group}", kind=f"k{kinds[group % len(kinds)]}", files={})
        for number, group in enumerate(groups)
    ]


Groups = st.lists(st.integers(0, 12), min_size=12, max_size=40).filter(lambda groups: len(set(groups)) >= 5)


@given(Groups, st.integers(2, 5), st.integers(0, 3), st.randoms(use_true_random=False))
def test_every_item_is_measured_once_and_never_beside_its_group(
    groups: list[int], count: int, seed: int, random: Random
) -> None:
    items = some(groups, [0, 1])
    found = folds(items, count, seed)
    tested = [item.id for fold in found for item in fold.test]
    assert sorted(tested) == [item.id for item in items]
    for fold in found:
        assert not {item.group for item in fold.train} & {item.group for item in fold.test}
        assert len(fold.train) + len(fold.test) == len(items)
        assert fold.test
    shuffled = list(items)
    random.shuffle(shuffled)
    assert folds(shuffled, count, seed) == found


def test_kinds_are_even_and_seeds_differ() -> None:
    items = some(list(range(30)), [0, 0, 1])
    found = folds(items, 5, 0)
    assert [sum(item.kind == "k1" for item in fold.test) for fold in found] == [2] * 5
    assert [len(fold.test) for fold in found] == [6] * 5
    assert folds(items, 5, 1) != found


@pytest.mark.parametrize("count", [1, 4])
def test_more_folds_than_groups_are_refused(count: int) -> None:
    with pytest.raises(InputError, match=r"2 to 3 folds for 3 groups"):
        folds(some([0, 1, 2, 2], [0]), count, 0)


def test_a_folder_is_found_by_name_or_given_itself(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "labels.csv").touch()
    assert find_folder(tmp_path, "set", holding="labels.csv") == folder
    assert find_folder(folder, "set", holding="labels.csv") == folder
    assert try_folder(tmp_path, "other", holding="labels.csv") is None
    with pytest.raises(InputError, match=r"a folder other with it.*does not; name the folder"):
        find_folder(tmp_path, "other", holding="labels.csv")
    with pytest.raises(InputError, match=r"is no folder"):
        find_folder(tmp_path / "gone", "set", holding="labels.csv")


def test_the_interval_of_a_mean_is_that_of_the_books() -> None:
    values = np.random.default_rng(1).normal(0.7, 0.1, 100)
    found = figure("Dice", "a set", values.tolist(), [str(number) for number in range(100)])
    assert found.n == 100
    assert found.interval is not None
    assert found.value == round(float(values.mean()), 3)
    assert np.diff(found.interval)[0] == pytest.approx(2 * 1.96 * values.std() / 10, rel=0.1)


def test_items_of_one_group_count_as_one() -> None:
    values = np.repeat(np.random.default_rng(1).normal(0.7, 0.1, 20), 5).tolist()
    alone = figure("Dice", "a set", values, [str(number) for number in range(100)])
    together = figure("Dice", "a set", values, [str(number // 5) for number in range(100)])
    assert alone.interval is not None
    assert together.interval is not None
    assert np.diff(together.interval)[0] > 1.8 * np.diff(alone.interval)[0]


def test_items_without_a_value_are_left_out() -> None:
    found = figure("Dice", "a set", [0.5, float("nan"), 0.7], ["a", "b", "c"])
    assert (found.value, found.n) == (0.6, 2)


def test_draws_without_an_answer_are_left_out() -> None:
    labels = np.array([1] + [0] * 9)

    def share(index: np.ndarray) -> float:
        return float(labels[index].mean()) if labels[index].any() else float("nan")

    low, high = interval(share, [str(number) for number in range(10)])
    assert 0.1 <= low <= high <= 0.4
    assert figure_of("share", "a set", share, [str(number) for number in range(10)]).value == 0.1


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(InputError, match=r"one of the recipes .*vessels.*got 'vesels'"):
        check_name("vesels")
    assert list(RECIPES) == sorted(RECIPES)


def test_the_table_names_every_recipe_there_is() -> None:
    folder = Path(table.__file__).parent / "recipes"
    assert set(RECIPES) == {path.stem for path in folder.glob("[!_]*.py")}
