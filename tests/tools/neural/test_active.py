"""Which pictures are asked for: never twice, doubtful ones first, and on mixed real pictures better than chance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.knowledge.encoders.radiomics import Radiomics
from polyclinic.tools.imaging.store import read_picture
from polyclinic.tools.neural.active import STRENGTH, at_random, most_informative
from polyclinic.tools.neural.linear import Examples, regression


def unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@given(st.integers(2, 12), st.dictionaries(st.integers(0, 11), st.sampled_from("abc"), max_size=12), st.integers(0, 5))
def test_only_what_is_neither_labelled_nor_left_out_is_asked_for(n: int, some: dict[int, str], count: int) -> None:
    vectors = unit(np.random.default_rng(n).normal(size=(n, 5)))
    labelled = {row: klass for row, klass in some.items() if row < n}
    free = set(range(1, n)) - set(labelled)
    for choose in (most_informative, at_random):
        chosen = choose(vectors, labelled, count, left_out=[0])
        assert set(chosen) <= free
        assert len(chosen) == len(set(chosen)) == min(count, len(free))
        assert chosen == choose(vectors, labelled, count, left_out=[0])


def test_the_first_is_in_the_middle_and_the_second_far_from_it() -> None:
    vectors = unit(np.array([[1.0, 0.0], [1.0, 0.1], [1.0, -0.1], [-0.2, 1.0]]))
    assert most_informative(vectors, {}, 2) == [1, 3]


def test_between_two_classes_lies_what_is_asked_for() -> None:
    angles = np.linspace(0, np.pi / 2, 41)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    (row,) = most_informative(vectors, {0: "a", 40: "b", 1: "a", 39: "b"}, 1)
    assert 16 <= row <= 24


def test_kinds_of_pictures_are_learned_with_fewer_labels_than_by_chance(data_dir: Path) -> None:
    """Four kinds of real pictures, 5 seeds: with 12 labels the chosen ones teach more."""
    kinds = {"us_breast_busi_cls": "*/*.png", "endo_kvasirseg": "images/*", "fundus_drive": "training/images/*",
             "nuclei_dsb2018": "images/*"}  # fmt: skip
    files = [(file, kind) for kind, where in kinds.items() for file in sorted((data_dir / kind).glob(where))[:20]]
    vectors = Radiomics().encode_pictures([read_picture(file) for file, _ in files]).astype(np.float64)
    names = [kind for _, kind in files]
    reached = {choose.__name__: [right(vectors, names, choose, seed) for seed in range(5)] for choose in CHOICES}
    assert np.mean(reached["most_informative"]) > np.mean(reached["at_random"])
    assert np.mean(reached["most_informative"]) > 0.9


CHOICES = (most_informative, at_random)


def right(vectors: Any, names: list[str], choose: Any, seed: int) -> float:
    """The accuracy on a third of the pictures after 12 labels of the others."""
    order = np.random.default_rng(seed).permutation(len(names))
    held, pool = order[: len(order) // 3], order[len(order) // 3 :]
    labelled: dict[int, str] = {}
    for _ in range(12):
        (row,) = choose(vectors[pool], labelled, 1, seed=seed)
        labelled[row] = names[pool[row]]
    known, rows = sorted(set(labelled.values())), list(labelled)
    classes = np.array([known.index(labelled[row]) for row in rows])
    examples = Examples(vectors=vectors[pool[rows]], classes=classes, count=len(known), groups=tuple(map(str, rows)))
    weights, bias = regression(examples, (STRENGTH,))[0]
    guessed = (vectors[held] @ weights + bias).argmax(axis=1)
    return float(np.mean([known[guess] == names[row] for guess, row in zip(guessed, held, strict=True)]))
