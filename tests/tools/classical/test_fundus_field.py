"""The round border of a fundus photograph: discs whole and cut, other shapes, and real pictures where at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from polyclinic.tools.classical.fundus_field import round_field, roundness


def disc(row: float, column: float, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:200, :240]
    return np.asarray(np.hypot(rows - row, columns - column) < radius)


@given(st.floats(95, 105), st.floats(110, 130), st.floats(60, 115))
def test_a_disc_is_round_also_where_the_picture_cuts_it(row: float, column: float, radius: float) -> None:
    on_circle, arc = roundness(disc(row, column, radius))
    assert on_circle > 0.9
    assert arc > 0.4


def test_a_letter_beside_the_field_leaves_it_round() -> None:
    shown = disc(100, 120, 80)
    shown[20:40, 120:128] = True
    assert roundness(shown)[0] > 0.7


def test_other_shapes_are_not_round() -> None:
    square = np.zeros((200, 240), bool)
    square[20:180, 40:200] = True
    for shown in (square, disc(100, 60, 90) & disc(100, 180, 90)):
        on_circle, arc = roundness(shown)
        assert on_circle < 0.6 or arc < 0.3
    assert roundness(np.ones((200, 240), bool)) == (0.0, 0.0)
    assert roundness(np.zeros((200, 240), bool)) == (0.0, 0.0)


@pytest.mark.parametrize(("pattern", "wanted"), [("fundus_*/**/Image_0*.jpg", True), ("endo_*/images/*", False)])
def test_real_pictures_lie_on_their_side(pattern: str, wanted: bool, data_dir: Path) -> None:
    files = sorted(data_dir.glob(pattern))[:8]
    if not files:
        pytest.skip(f"no pictures {pattern} in {data_dir}")
    for file in files:
        assert round_field(np.asarray(PIL.Image.open(file).convert("RGB"))) is wanted, file.name
