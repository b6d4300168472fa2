"""Pieces of pictures: what stays where it is, what is turned, and what lies beyond the edge."""

from __future__ import annotations

import numpy as np
import pytest

for package in ("torch", "onnx", "onnxruntime"):
    pytest.importorskip(package, reason="needs torch and onnx: type python tests/experts/run.py")

from polyclinic.tools.learned.training.augment import blurred_or_noisy, log_uniform, piece  # noqa: E402


def maps() -> np.ndarray:
    return np.random.default_rng(0).random((2, 30, 40), dtype=np.float32)


def test_an_unturned_piece_at_scale_1_is_a_part_of_the_picture() -> None:
    whole = maps()
    cut = piece(whole, np.random.default_rng(0), side=9, scale=1.0, centre=(14.0, 20.0), turned=False)
    np.testing.assert_allclose(cut, whole[:, 10:19, 16:25], atol=1e-4)


def test_twice_the_scale_shows_half_as_much() -> None:
    whole = maps()
    cut = piece(whole, np.random.default_rng(0), side=17, scale=2.0, centre=(14.0, 20.0), turned=False)
    np.testing.assert_allclose(cut[:, ::2, ::2], whole[:, 10:19, 16:25], atol=1e-4)


def test_a_disc_stays_a_disc_however_it_is_turned() -> None:
    rows, columns = np.mgrid[:81, :81]
    disc = (np.hypot(rows - 40, columns - 40) < 20).astype(np.float32)[None]
    for seed in range(6):
        cut = piece(disc, np.random.default_rng(seed), side=81, scale=1.0, centre=(40.0, 40.0))
        assert np.abs(cut - disc).mean() < 0.01


def test_turns_differ_and_a_seed_repeats_them() -> None:
    cuts = [piece(maps(), np.random.default_rng(seed), side=15, scale=1.0, centre=(15.0, 20.0)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(cuts[0], cuts[1])
    assert np.abs(cuts[0] - cuts[2]).max() > 0.1


def test_beyond_the_edge_there_is_nothing() -> None:
    cut = piece(np.ones((1, 20, 20), np.float32), np.random.default_rng(0), side=60, scale=1.0, centre=(9.5, 9.5))
    assert cut.sum() == pytest.approx(400, rel=0.06)
    assert cut[0, 0, 0] == 0.0


def test_factors_halve_as_often_as_they_double() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([log_uniform(rng, 0.5, 2.0) for _ in range(2000)])
    assert drawn.min() >= 0.5
    assert drawn.max() <= 2.0
    assert (drawn < 1.0).mean() == pytest.approx(0.5, abs=0.04)


def test_noise_and_blur_keep_the_level() -> None:
    rng = np.random.default_rng(0)
    changed = [blurred_or_noisy(maps(), rng, blur=1.0, noise=0.1) for _ in range(20)]
    assert all(abs(float(x.mean() - maps().mean())) < 0.02 for x in changed)
    assert all(x.dtype == np.float32 for x in changed)
