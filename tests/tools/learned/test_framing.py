"""Padding, cutting back and scaling: what goes through a network that changes nothing comes back as it was."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from polyclinic.tools.learned.framing import (
    Frame,
    channels_first,
    resampled,
    run_whole,
    turned_back,
    turned_ways,
)
from polyclinic.tools.learned.network import Network


class Unchanged(Network):
    """Gives back its input, and notes the shapes it was given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def run(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        self.shapes.append(x.shape)
        return x, 2.0 * x[:, :1]


@given(st.integers(1, 300), st.integers(1, 70), st.sampled_from([1, 4, 8, 16, 32]), st.integers(50, 9000))
def test_bands_put_together_are_the_whole(height: int, width: int, multiple: int, most: int) -> None:
    x = np.random.default_rng(height * 100 + width).random((2, height, width), dtype=np.float32)
    unchanged = Unchanged()
    same, _ = run_whole(unchanged, x, multiple=multiple, most_pixels=most)
    np.testing.assert_array_equal(same, x)
    assert len(unchanged.shapes) <= -(-height * width // most)
    assert all(rows % multiple == columns % multiple == 0 for _, _, rows, columns in unchanged.shapes)


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 4, 8, 16, 32]))
def test_a_picture_of_any_size_is_framed_and_cut_back(height: int, width: int, multiple: int) -> None:
    x = np.random.default_rng(height * 100 + width).random((3, height, width), dtype=np.float32)
    unchanged = Unchanged()
    same, doubled = run_whole(unchanged, x, multiple=multiple)
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(doubled, 2.0 * x[:1])
    ((_, _, rows, columns),) = unchanged.shapes
    assert rows % multiple == columns % multiple == 0
    assert 0 <= rows - height < multiple


def test_the_frame_mirrors_the_picture() -> None:
    seen: list[NDArray[np.float32]] = []

    class Watching(Unchanged):
        def run(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
            seen.append(x)
            return (x,)

    run_whole(Watching(), np.arange(5, dtype=np.float32)[None, None, :], multiple=8)
    assert seen[0][0, 0, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]


def test_channels_come_first_between_0_and_1() -> None:
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[1, 2, 0] = 255
    maps = channels_first(picture)
    assert maps.shape == (3, 2, 3)
    assert maps.dtype == np.float32
    assert maps[0, 1, 2] == maps.sum() == 1.0
    assert channels_first(picture[..., 0]).shape == (1, 2, 3)


@given(st.integers(8, 60), st.integers(8, 60))
def test_scaling_keeps_a_mean_and_a_level(height: int, width: int) -> None:
    level = np.full((1, 30, 40), 0.25, np.float32)
    np.testing.assert_allclose(resampled(level, (height, width)), 0.25, rtol=1e-5)
    ramp = np.tile(np.linspace(0.0, 1.0, 40, dtype=np.float32), (1, 30, 1))
    assert abs(float(resampled(ramp, (height, width)).mean()) - 0.5) < 0.02


def test_a_real_network_sees_no_seam() -> None:
    network = Network.shipped("nuclei")
    x = np.random.default_rng(0).random((3, 320, 96), dtype=np.float32)
    (whole,) = run_whole(network, x, multiple=16)
    (banded,) = run_whole(network, x, multiple=16, most_pixels=96 * 128)
    assert np.abs(whole - banded).max() < 0.05 * np.ptp(whole)
    assert np.abs(whole - banded).mean() < 0.005 * np.ptp(whole)


@given(st.integers(2, 60), st.integers(2, 60))
def test_a_frame_around_a_picture_gives_it_back(height: int, width: int) -> None:
    x = np.random.default_rng(height * 100 + width).random((2, height, width), dtype=np.float32)
    frame = Frame.around((height, width))
    seen = frame.cut(x, frame.side)
    assert seen.shape == (2, max(height, width), max(height, width))
    assert seen.sum() == np.float32(x.sum()) or abs(seen.sum() - x.sum()) < 1e-2
    np.testing.assert_array_equal(frame.put_back(seen, (height, width)), x)


def test_a_frame_may_reach_beyond_the_picture() -> None:
    x = np.ones((1, 10, 10), dtype=np.float32)
    frame = Frame(top=-5, left=6, side=8)
    seen = frame.cut(x, 8)
    assert seen.sum() == 3 * 4
    assert frame.put_back(seen, (10, 10)).sum() == 3 * 4


def test_what_was_turned_is_turned_back() -> None:
    x = np.random.default_rng(0).random((3, 7, 7), dtype=np.float32)
    ways = turned_ways(x)
    assert len({way.tobytes() for way in ways}) == 8
    np.testing.assert_allclose(turned_back(ways), x, rtol=1e-6)
