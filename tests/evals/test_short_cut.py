"""The short cut by brightness: it finds what brightness tells, and learns from no other picture of its own group."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from polyclinic.core.case import Case, Image
from polyclinic.evals.benchmarks.table import benchmark
from polyclinic.evals.outcomes import Said
from polyclinic.evals.sample import Answer, Letter, Sample
from polyclinic.evals.scoring import row_of
from polyclinic.evals.set_scores import set_scores
from polyclinic.evals.short_cut import Brightness, predicted


def sample(folder: Path, number: int, light: int, letter: str, group: str) -> Sample:
    path = folder / f"{number}.png"
    PIL.Image.fromarray(np.full((8, 8), light, dtype=np.uint8)).save(path)
    case = Case(id=f"s{number}", question="Is it?", options={"A": "yes", "B": "no"}, images=(Image(path=str(path)),))
    return Sample(case=case, target=Letter(letter=letter), group=group)


def asked(samples: list[Sample], each: Sample) -> Said:
    return asyncio.run(Brightness(samples).answer(each, Path("x"), root=Path()))


def test_brightness_tells_apart_what_differs_in_it(tmp_path: Path) -> None:
    samples = [sample(tmp_path, k, 200 + k if k % 2 else 50 + k, "AB"[k % 2], f"g{k}") for k in range(20)]
    for each in samples:
        said = asked(samples, each)
        assert isinstance(each.target, Letter)
        assert said.option == each.target.letter
        assert said.chances == asked(samples[::-1], each).chances
        assert sum(said.chances.values()) == pytest.approx(1.0, abs=1e-5)


def test_nothing_is_learnt_from_pictures_of_its_own_group(tmp_path: Path) -> None:
    others = [sample(tmp_path, k, 100 + k, "AB"[k % 2], f"g{k}") for k in range(10)]
    twins = [sample(tmp_path, 10 + k, 250, "A", "same") for k in range(6)]
    known = asked([*others, *twins], twins[0]).chances
    changed = [Sample(case=each.case, target=Letter(letter="B"), group="same") for each in twins]
    assert asked([*others, *changed], changed[0]).chances == known


def test_what_is_no_choice_of_options_is_not_answered() -> None:
    each = Sample(case=Case(id="s1", question="What?"), target=Answer(accepted=("x",)), group="g")
    assert asked([each], each).silence == "abstained"


def test_the_regression_is_the_ridge_s_minimum() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    truth = x[:, 0] + rng.normal(size=40) > 0
    share = predicted(x, truth, x)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    logit = np.log(share / (1 - share))
    weights, *_ = np.linalg.lstsq(np.column_stack([z, np.ones(40)]), logit, rcond=None)
    alike = np.where(truth, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
    gradient = z.T @ (alike * (truth - share)) - weights[:2]
    assert np.abs(gradient).max() < 1e-6
    assert predicted(x, np.ones(40, dtype=bool), x[:2]).tolist() == [1.0, 1.0]


def test_what_tells_nothing_is_no_worse_than_chance(tmp_path: Path) -> None:
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        letters = rng.permutation(list("AB" * 20))
        samples = [sample(tmp_path, k, int(rng.integers(20, 230)), letters[k], f"g{k}") for k in range(40)]
        arm = Brightness(samples)
        rows = [
            row_of(one, asyncio.run(arm.answer(one, Path("x"), root=Path())), benchmark="quiz", arm="x", epoch=1)
            for one in samples
        ]
        found.append(set_scores(rows)["AUROC"].value)
    assert 0.42 < np.mean(found) < 0.58  # each left out by itself: 0.2


def test_a_picture_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    samples = [sample(tmp_path, k, 200 + k if k % 2 else 50 + k, "AB"[k % 2], f"g{k}") for k in range(20)]
    (tmp_path / "3.png").write_text("no picture")
    said = asked(samples, samples[3])
    assert said.silence == "failed"
    assert "expected a readable picture" in said.why
    assert asked(samples, samples[5]).option == "B"


def test_nine_numbers_go_far_on_the_radiographs(data_dir: Path) -> None:
    each = benchmark("pneumonia")
    if not (data_dir / each.place).exists():
        pytest.skip(f"no {each.published_as}")
    samples = list(each.samples(each.at(data_dir)))
    arm = Brightness(samples)
    rows = [
        row_of(one, asyncio.run(arm.answer(one, Path("x"), root=Path())), benchmark=each.name, arm="x", epoch=1)
        for one in samples
    ]
    assert 0.70 < set_scores(rows)["AUROC"].value < 0.85
