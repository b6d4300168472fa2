"""Pixels as pictures: grey levels, outlines and overlays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from polyclinic.tools.imaging.store import Pixels
from polyclinic.tools.pictures import COLOURS, Drawn, as_picture, enlarged, overlay


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


def disc(size: int = 200, radius: int = 40) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:size, :size] - size // 2
    return np.asarray(rows**2 + columns**2 <= radius**2)


@pytest.mark.parametrize("level", [0, 255])
def test_an_overlay_stands_out_on_dark_and_bright_pictures(level: int) -> None:
    picture = np.full((200, 200, 3), level, np.uint8)
    drawn = overlay(picture, [Drawn(mask=disc(), label="optic disc", colour=(240, 228, 66))])
    assert drawn.shape == picture.shape
    assert drawn[100, 60].tolist() == [240, 228, 66]
    assert (drawn[100, 100] == level).all()  # what lies inside the contour stays to be seen
    assert int(drawn[:, :, 0].max()) - int(drawn[:, :, 0].min()) > 200
    assert (picture == level).all()


def test_each_kind_of_region_is_drawn_where_it_is() -> None:
    picture = np.zeros((200, 200, 3), np.uint8)
    red = (255, 0, 0)
    labels = np.zeros((200, 200), np.int32)
    labels[20:30, 20:30], labels[20:30, 30:40] = 1, 2
    shown = overlay(
        picture,
        [
            Drawn(box=(50, 60, 91, 101), colour=red),
            Drawn(line=((10.0, 150.0), (60.0, 150.0)), colour=red),
            Drawn(points=((150.0, 40.0),), colour=red),
            Drawn(instances=labels, colour=red),
        ],
    )
    for row, column in ((60, 50), (100, 90), (150, 35), (40, 150), (25, 29), (25, 30), (20, 25)):
        assert shown[row, column].tolist() == [255, 0, 0], (row, column)
    for row, column in ((80, 70), (25, 25), (25, 35)):
        assert not shown[row, column].any(), (row, column)


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    picture = np.zeros((400, 600, 3), np.uint8)
    in_px = (overlay(picture, []) == 255).all(axis=2)
    in_mm = (overlay(picture, [], spacing_mm=(0.7, 0.5)) == 255).all(axis=2)
    assert int(in_px[391].sum()) == 100  # 100 px; the next round length, 200, is more than a quarter of 600
    assert int(in_mm[391].sum()) == 100  # 50 mm at 0.5 mm a column
    assert not (in_px == in_mm).all()  # the words differ


def test_regions_of_one_label_share_a_colour_and_others_differ() -> None:
    picture = np.zeros((300, 300, 3), np.uint8)
    boxes = [(10, 50, 30, 70), (60, 50, 80, 70), (110, 50, 130, 70)]
    names = ["red cell", "red cell", "platelet"]
    regions = [Drawn(box=box, label=name) for box, name in zip(boxes, names, strict=True)]
    shown = overlay(picture, regions)
    first, second, third = (shown[box[3] - 1, box[2] - 1].tolist() for box in boxes)
    assert first == second != third
    assert first in [list(colour) for colour in COLOURS]


def test_many_regions_share_a_legend_and_words_never_cover_the_picture() -> None:
    grey = np.full((128, 128, 3), 100, np.uint8)
    boxes = [(x, y, x + 6, y + 6) for x in range(30, 120, 10) for y in range(30, 120, 10)]
    one_kind = overlay(grey, [Drawn(box=box, label="cell") for box in boxes])
    assert (one_kind[:14, :60] != 100).any()
    each_its_own = overlay(grey, [Drawn(box=box, label=f"region {box}") for box in boxes])
    plain = overlay(grey, [Drawn(box=box) for box in boxes])
    assert (each_its_own != plain).any(axis=2).mean() < 0.25


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    box=st.tuples(*[st.integers(-20, 110)] * 4).map(
        lambda four: (min(four[0], four[2]), min(four[1], four[3]), max(four[0], four[2]), max(four[1], four[3]))
    ),
    label=st.text(max_size=30),
    spacing=st.none() | st.tuples(st.floats(0.001, 100), st.floats(0.001, 100)),
)
@settings(max_examples=60)
def test_an_overlay_keeps_the_size_of_any_picture(
    height: int, width: int, box: tuple[int, int, int, int], label: str, spacing: tuple[float, float] | None
) -> None:
    picture = np.full((height, width, 3), 70, np.uint8)
    mask = np.zeros((height, width), bool)
    mask[: height // 2, : width // 2] = True
    drawn = overlay(picture, [Drawn(box=box, label=label), Drawn(mask=mask, label=label)], spacing_mm=spacing)
    assert (drawn.shape, drawn.dtype) == (picture.shape, np.uint8)


def test_a_mask_of_another_size_is_a_bug() -> None:
    with pytest.raises(ValueError, match="of one size"):
        overlay(np.zeros((10, 10, 3), np.uint8), [Drawn(mask=np.zeros((9, 10), bool))])


def test_labels_are_enlarged_to_the_picture_they_are_of() -> None:
    labels = np.array([[1, 2], [3, 0]], np.int32)
    assert enlarged(labels, (4, 6)).tolist() == [[1, 1, 1, 2, 2, 2]] * 2 + [[3, 3, 3, 0, 0, 0]] * 2
    assert enlarged(labels, (2, 2)).tolist() == labels.tolist()
