"""Pixels as pictures: grey levels and outlines."""

from __future__ import annotations

import numpy as np

from polyclinic.tools.imaging.store import Pixels
from polyclinic.tools.pictures import as_picture, outlined


def test_hounsfield_units_are_shown_in_a_soft_tissue_window() -> None:
    hu = np.array([[-1000, -160], [40, 240]], dtype=np.float32)
    assert as_picture(Pixels(array=hu, unit="HU"))[..., 0].tolist() == [[0, 0], [128, 255]]


def test_other_values_use_their_own_range() -> None:
    ramp = np.linspace(5.0, 4000.0, 10_000, dtype=np.float32).reshape(100, 100)
    shown = as_picture(Pixels(array=ramp, unit="intensity"))
    assert shown.shape == (100, 100, 3)
    assert (shown.min(), shown.max()) == (0, 255)
    assert not as_picture(Pixels(array=np.zeros((3, 3), np.float32), unit="intensity")).any()


def test_eight_bit_pictures_are_shown_as_they_are() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(as_picture(Pixels(array=rgb, unit="rgb")), rgb)


def test_an_outline_marks_the_border_and_nothing_else() -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    mask = np.zeros((20, 20), bool)
    mask[5:10, 5:10] = True
    drawn = outlined(picture, mask, (0, 255, 0))
    assert drawn[5, 5].tolist() == [0, 255, 0]
    assert not drawn[7, 7].any()
    assert int((drawn[..., 1] > 0).sum()) == 16
    assert not picture.any()
