"""Bright spots in the fundus: planted ones are found, an eye without any has none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.card import ImageArguments
from polyclinic.tools.classical.fundus_bright_lesions import TOOL, BrightLesions
from polyclinic.tools.imaging.store import ImageStore, TakenIn

Take = Callable[..., TakenIn]
RETINA = "package://skimage/data/retina.jpg"


def run(blob: str, store: ImageStore) -> BrightLesions:
    output = TOOL.run(ImageArguments(image=blob), store)
    assert isinstance(output, BrightLesions)
    return output


@pytest.fixture
def retina(take: Take, store: ImageStore) -> NDArray[np.uint8]:
    return store.open(str(take(RETINA).image.blob)).array.astype(np.uint8)


def with_spots(rgb: NDArray[np.uint8], places: list[tuple[int, int]], radius: float = 12) -> NDArray[np.uint8]:
    """Yellow discs at (x, y)."""
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    picture = rgb.copy()
    for column, row in places:
        picture[np.hypot(y - row, x - column) <= radius] = (250, 225, 140)
    return picture


def test_an_eye_without_spots_has_none(take: Take, store: ImageStore) -> None:
    output = run(str(take(RETINA).image.blob), store)
    assert output.count.value == 0
    assert output.area.value == 0
    assert output.disc_distance is None
    assert output.count.text.startswith("0 bright spots")


def test_planted_spots_are_found_where_they_are(retina: NDArray[np.uint8], take: Take, store: ImageStore) -> None:
    places = [(700, 450), (900, 900), (800, 1040), (1000, 560)]
    output = run(str(take(with_spots(retina, places)).image.blob), store)
    assert output.count.value == 4
    mask = store.open(str(output.count.mask)).array > 0
    assert mask.shape == retina.shape[:2]
    for x, y in places:
        assert mask[y, x]
    assert output.area.value == pytest.approx(100 * 4 * np.pi * 12**2 / (np.pi * 690**2), rel=0.6)
    assert (output.count.finding, output.count.says) == ("hard-exudates", "undecided")
    assert output.area.of == ("bright spots",)


def test_distances_are_in_disc_diameters(retina: NDArray[np.uint8], take: Take, store: ImageStore) -> None:
    near, far = (run(str(take(with_spots(retina, [place])).image.blob), store) for place in ((560, 900), (1000, 900)))
    assert near.disc_distance is not None
    assert far.disc_distance is not None
    assert near.disc_distance.value < far.disc_distance.value
    assert 1 < far.disc_distance.value < 6


def test_the_optic_disc_is_no_lesion(take: Take, store: ImageStore) -> None:
    output = run(str(take(RETINA).image.blob), store)
    mask = store.open(str(output.count.mask)).array > 0
    assert not mask[600:720, 180:320].any()


@pytest.mark.parametrize("name", ["coins.png", "ihc.png", "brick.png"])
def test_other_pictures_are_refused(name: str, take: Take, store: ImageStore) -> None:
    with pytest.raises(ToolRefusedError):
        run(str(take(f"package://skimage/data/{name}").image.blob), store)
