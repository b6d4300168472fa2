"""Lung boxes: on drawn-in radiographs, in millimetres, whatever the brightness; boxes and frames; and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.card import ScaledImageArguments
from polyclinic.tools.imaging.store import ImageStore, TakenIn
from polyclinic.tools.learned.lung_boxes import (
    SETTINGS,
    TOOL,
    LungBoxes,
    Lungs,
    checked,
    features,
    find_lungs,
    frame_around,
    from_frame,
    intersection_over_union,
    into_frame,
    mirrored,
    part_of,
)
from polyclinic.tools.learned.network import Network

Take = Callable[..., TakenIn]
ANY_BOXES = arrays(np.float64, (2, 2), elements=st.floats(0.0, 0.6)).flatmap(
    lambda corners: arrays(np.float64, (2, 2), elements=st.floats(0.05, 0.4)).map(
        lambda sides: np.concatenate([corners, corners + sides], axis=1)
    )
)


def run(taken: TakenIn, store: ImageStore, spacing_mm: tuple[float, float] | None = None) -> LungBoxes:
    output = TOOL.run(ScaledImageArguments(image=str(taken.image.blob), spacing_mm=spacing_mm), store)
    assert isinstance(output, LungBoxes)
    return output


@pytest.fixture(scope="module")
def drawn(data_dir: Path) -> dict[str, NDArray[np.float64]]:
    """For each picture of the set the drawn boxes (2, 4) of the right and the left lung in px."""
    listed = json.loads((data_dir / "cxr_covid_boxes_permissive" / "lung_boxes_coco.json").read_text())
    names = {picture["id"]: picture["file_name"] for picture in listed["images"]}
    found: dict[str, NDArray[np.float64]] = {name: np.zeros((2, 4)) for name in names.values()}
    for box in listed["annotations"]:
        x, y, width, height = box["bbox"]
        found[names[box["image_id"]]][box["category_id"] - 1] = (x, y, x + width, y + height)
    return found


@pytest.fixture(scope="module")
def chest(data_dir: Path) -> NDArray[np.uint8]:
    return np.asarray(PIL.Image.open(data_dir / "cxr_covid_boxes_permissive" / "images" / "0a7faa2a.jpg").convert("L"))


def test_boxes_lie_where_they_were_drawn(
    data_dir: Path, drawn: dict[str, NDArray[np.float64]], take: Take, store: ImageStore
) -> None:
    for name in ("0a7faa2a.jpg", "1663b242.jpg", "ee2d1bf6.jpg"):
        output = run(take(str(data_dir / "cxr_covid_boxes_permissive" / "images" / name)), store)
        assert [lung.label for lung in output.detections] == ["right lung", "left lung"]
        found = np.array([lung.box_px for lung in output.detections], dtype=np.float64)
        assert intersection_over_union(found, drawn[name]).min() > 0.75
        right, left = output.detections
        assert right.box_px[0] < left.box_px[0]
        assert output.right_lung_width.box_px == right.box_px
        assert output.right_lung_width.value == right.box_px[2] - right.box_px[0]
        assert output.left_lung_height.value == left.box_px[3] - left.box_px[1]
        assert output.overlay is not None
        assert any("pixels" in note for note in output.limitations)


def test_lengths_are_in_mm_where_the_spacing_is_known(chest: NDArray[np.uint8], take: Take, store: ImageStore) -> None:
    taken = take(chest)
    output, plain = run(taken, store, (0.4, 0.3)), run(taken, store)
    assert output.right_lung_width.value == pytest.approx(0.3 * plain.right_lung_width.value, abs=0.5)
    assert output.left_lung_height.value == pytest.approx(0.4 * plain.left_lung_height.value, abs=0.5)
    assert output.right_lung_width.text == f"The right lung is {output.right_lung_width.value:.0f} mm wide."
    assert output.right_lung_width.uncertainty is not None
    assert 0 < output.right_lung_width.uncertainty < 0.2 * output.right_lung_width.value
    assert run(taken, store) == plain


def test_brightness_contrast_and_size_hardly_move_the_boxes(chest: NDArray[np.uint8]) -> None:
    network = Network.shipped("lung_boxes")
    found = find_lungs(chest, network)
    half = np.asarray(PIL.Image.fromarray(chest).resize((512, 512), PIL.Image.Resampling.BOX))
    for other in (40.0 + 0.5 * chest.astype(np.float32), 16.0 * chest.astype(np.float32), half):
        moved = find_lungs(other, network)
        assert intersection_over_union(moved.boxes, found.boxes).min() > 0.97


def test_a_mirror_image_has_mirrored_boxes(chest: NDArray[np.uint8]) -> None:
    network = Network.shipped("lung_boxes")
    found, turned = find_lungs(chest, network), find_lungs(np.ascontiguousarray(chest[:, ::-1]), network)
    np.testing.assert_allclose(turned.boxes, mirrored(found.boxes), atol=1e-3)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_chest_on_its_side_or_head_is_refused(
    turns: int, chest: NDArray[np.uint8], take: Take, store: ImageStore
) -> None:
    with pytest.raises(ToolRefusedError, match="likeness"):
        run(take(np.ascontiguousarray(np.rot90(chest, turns))), store)


def stripes() -> NDArray[np.uint8]:
    rows = np.arange(300)[:, None] * np.ones((1, 300))
    return (127 + 100 * np.sin(rows / 9.0)).astype(np.uint8)


@pytest.mark.parametrize(
    ("picture", "got"),
    [
        (np.random.default_rng(0).integers(0, 255, (300, 300)).astype(np.uint8), "likeness"),
        (np.full((300, 300), 90, np.uint8), "likeness"),
        (stripes(), "likeness"),
        (np.dstack([stripes(), 255 - stripes(), stripes()]), "in colour"),
        (stripes()[:40, :40], "40 × 40 px"),
    ],
)
def test_what_is_no_chest_is_refused(picture: NDArray[np.uint8], got: str, take: Take, store: ImageStore) -> None:
    with pytest.raises(ToolRefusedError, match=got):
        run(take(picture), store)


@pytest.mark.parametrize(
    "boxes",
    [
        [[0.1, 0.1, 0.5, 0.8], [0.15, 0.1, 0.55, 0.8]],
        [[0.1, 0.1, 0.4, 0.4], [0.5, 0.6, 0.9, 0.9]],
        [[0.1, 0.1, 0.15, 0.8], [0.5, 0.1, 0.9, 0.8]],
    ],
)
def test_boxes_that_are_not_side_by_side_are_refused(boxes: list[list[float]]) -> None:
    with pytest.raises(ToolRefusedError, match=r"side by side"):
        checked(Lungs(boxes=np.array(boxes), likeness=0.8))


@given(ANY_BOXES, ANY_BOXES)
def test_frames_and_mirrors_can_be_undone(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> None:
    frame = frame_around(others)
    assert (frame[:2] < others[:, :2]).all()
    assert (frame[2:] > others[:, 2:]).all()
    np.testing.assert_allclose(from_frame(into_frame(boxes, frame), frame), boxes, atol=1e-9)
    np.testing.assert_allclose(mirrored(mirrored(boxes)), boxes, atol=1e-9)
    shared = intersection_over_union(boxes, others)
    np.testing.assert_allclose(intersection_over_union(others, boxes), shared)
    np.testing.assert_allclose(intersection_over_union(boxes, boxes), 1.0)
    assert (shared >= 0.0).all()
    assert (shared <= 1.0).all()


def test_a_frame_beyond_the_picture_shows_nothing_there() -> None:
    square = np.random.default_rng(0).random((256, 256), dtype=np.float32)
    half = part_of(square, np.array([-1.0, 0.0, 1.0, 1.0]))
    side = SETTINGS["side_px"]
    assert half.shape == (side, side)
    assert (half[:, : side // 2 - 1] == 0.0).all()
    assert half[:, side // 2 + 1 :].std() > 0.1
    assert (part_of(square, np.array([2.0, 2.0, 3.0, 3.0])) == 0.0).all()
    assert features(half).shape == (2020,)
