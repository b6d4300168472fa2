"""Counting a blood smear: drawn cells whose number is known, a real smear, and pictures of another kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.card import ImageArguments
from polyclinic.tools.classical.blood_smear_counts import TOOL, SmearCounts
from polyclinic.tools.imaging.store import ImageStore, TakenIn

Take = Callable[..., TakenIn]


def smear(*, white: int = 1, platelets: int = 3, scale: int = 1) -> NDArray[np.uint8]:
    """Fourteen pink cells with a pale centre on grey glass, some purple white cells and specks."""
    y, x = np.mgrid[: 400 * scale, : 500 * scale] / scale
    picture = np.full((400 * scale, 500 * scale, 3), (205.0, 205.0, 200.0))
    places = [(row, column) for row in range(60, 400, 95) for column in range(60, 500, 95)]
    for row, column in places[:14]:
        distance = np.hypot(y - row, x - column)
        picture[distance <= 34] = (190, 150, 150)
        picture[distance <= 12] = (202, 190, 188)
    for row, column in places[14 : 14 + white]:
        picture[np.hypot(y - row, x - column) <= 36] = (120, 90, 180)
    for row, column in [(107, 107), (202, 202), (107, 297)][:platelets]:
        picture[np.hypot(y - row, x - column) <= 9] = (130, 95, 175)
    picture = ndimage.gaussian_filter(picture, (scale, scale, 0))
    picture += np.random.default_rng(0).normal(0, 2, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)


def run(picture: NDArray[np.uint8], take: Take, store: ImageStore) -> SmearCounts:
    output = TOOL.run(ImageArguments(image=str(take(picture).image.blob)), store)
    assert isinstance(output, SmearCounts)
    return output


@pytest.mark.parametrize(("white", "platelets"), [(0, 0), (1, 3), (2, 1)])
def test_drawn_cells_are_counted(white: int, platelets: int, take: Take, store: ImageStore) -> None:
    output = run(smear(white=white, platelets=platelets), take, store)
    assert output.red_cells.value == 14
    assert output.white_cells.value == white
    assert output.platelets.value == platelets
    assert output.red_cell_size.value == pytest.approx(68, abs=6)


def test_more_purple_than_pink_is_a_section(take: Take, store: ImageStore) -> None:
    picture = smear()
    y, x = np.mgrid[:400, :500]
    for row, column in [(60, 60), (60, 155), (60, 250), (60, 345), (155, 60), (155, 155), (155, 250), (155, 345)]:
        picture[np.hypot(y - row, x - column) <= 42] = (120, 90, 180)
    with pytest.raises(ToolRefusedError, match="purple covers more than pink"):
        run(picture, take, store)


@pytest.mark.parametrize(
    ("white", "told"), [(0, "0 white cells were"), (1, "1 white cell was"), (2, "2 white cells were")]
)
def test_a_count_is_told_in_its_number(white: int, told: str, take: Take, store: ImageStore) -> None:
    assert run(smear(white=white), take, store).white_cells.text == f"{told} counted in the picture."


def test_every_counted_cell_has_its_box_in_the_picture(take: Take, store: ImageStore) -> None:
    output = run(smear(scale=3), take, store)
    assert output.red_cells.value == 14
    assert output.red_cell_size.value == pytest.approx(204, abs=18)
    assert store.open(str(output.overlay)).array.shape == (1200, 1500, 3)
    labels = [detection.label for detection in output.detections]
    assert [labels.count(label) for label in ("red cell", "white cell", "platelet")] == [14, 1, 3]
    (white,) = (detection.box_px for detection in output.detections if detection.label == "white cell")
    left, top, right, bottom = white
    assert ((left + right) / 6, (top + bottom) / 6) == (pytest.approx(440, abs=4), pytest.approx(250, abs=4))


def test_a_real_smear(data_dir: Path, take: Take, store: ImageStore) -> None:
    path = data_dir / "bccd_blood/JPEGImages/BloodImage_00402.jpg"
    if not path.is_file():
        pytest.skip("no bccd_blood in the sample data")
    output = TOOL.run(ImageArguments(image=str(take(str(path)).image.blob)), store)
    assert output.white_cells.value == 1
    assert 12 <= output.red_cells.value <= 30


@pytest.mark.parametrize("name", ["retina.jpg", "coins.png", "microaneurysms.png", "rocket.jpg"])
def test_other_pictures_are_refused(name: str, take: Take, store: ImageStore) -> None:
    blob = str(take(f"package://skimage/data/{name}").image.blob)
    with pytest.raises(ToolRefusedError, match="got"):
        TOOL.run(ImageArguments(image=blob), store)


def test_empty_glass_is_refused(take: Take, store: ImageStore) -> None:
    glass = np.random.default_rng(0).normal((205, 200, 195), 2, (200, 200, 3)).astype(np.uint8)
    with pytest.raises(ToolRefusedError):
        run(glass, take, store)
