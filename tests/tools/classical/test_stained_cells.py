"""Nuclei and DAB: drawn nuclei, a real immunostain, hand-counted pictures where at hand, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.card import ImageArguments
from polyclinic.tools.classical.stained_cells import LEAST_BLUE, TOOL, StainedCells, bluish_light, dab_share, nuclei
from polyclinic.tools.imaging.store import ImageStore, TakenIn

Take = Callable[..., TakenIn]


def run(taken: TakenIn, store: ImageStore) -> StainedCells:
    output = TOOL.run(ImageArguments(image=str(taken.image.blob)), store)
    assert isinstance(output, StainedCells)
    return output


def slide(centres: list[tuple[int, int]], size: int = 300) -> NDArray[np.uint8]:
    """Purple discs of radius 12 on a pale pink ground."""
    rows, columns = np.mgrid[:size, :size]
    picture = np.full((size, size, 3), (238, 220, 235), np.uint8)
    for row, column in centres:
        picture[(rows - row) ** 2 + (columns - column) ** 2 < 12**2] = (95, 60, 150)
    return picture


def test_drawn_nuclei_are_counted_and_sized(take: Take, store: ImageStore) -> None:
    centres = [(40, 40), (40, 120), (120, 60), (200, 200), (200, 222), (250, 60)]  # two of them touch
    output = run(take(slide(centres)), store)
    assert output.nuclei_count.value == 6
    assert output.nuclei_count.text == "6 stained nuclei were counted in the picture."
    assert output.nucleus_size.value == pytest.approx(24, abs=2)
    assert output.nuclei_area.value == pytest.approx(100 * 6 * np.pi * 144 / 300**2, rel=0.1)
    assert output.dab_area.value == 0.0


def test_a_real_immunostain_is_partly_brown(take: Take, store: ImageStore) -> None:
    output = run(take("package://skimage/data/ihc.png"), store)
    assert 40 < output.dab_area.value < 70
    assert 80 < output.nuclei_count.value < 400
    assert store.open(str(output.nuclei_count.mask)).array.shape == (512, 512)


def test_brown_is_counted_as_a_share_of_the_tissue() -> None:
    picture = np.full((100, 100, 3), 250, np.uint8)
    picture[:50, :50] = (150, 100, 60)
    picture[:50, 50:] = (120, 110, 190)
    assert dab_share(picture) == pytest.approx(0.5, abs=0.02)
    assert dab_share(np.full((10, 10, 3), 250, np.uint8)) == 0.0


def test_the_light_is_that_of_the_brightest_tenth() -> None:
    picture = np.full((100, 100, 3), (60, 40, 200), np.uint8)
    picture[:20] = (200, 180, 100)
    assert bluish_light(picture) == pytest.approx(0.5)
    assert bluish_light(slide([(40, 40)])) > LEAST_BLUE


def test_one_nucleus_is_told_in_the_singular(take: Take, store: ImageStore) -> None:
    output = run(take(slide([(150, 150)])), store)
    assert output.nuclei_count.text == "1 stained nucleus was counted in the picture."


def test_large_pictures_are_scaled_down(take: Take, store: ImageStore) -> None:
    output = run(take(np.tile(slide([(150, 150)]), (6, 6, 1))), store)
    assert store.open(str(output.nuclei_count.mask)).array.shape == (1600, 1600)
    assert output.nuclei_count.value == 36


@pytest.mark.parametrize(
    ("picture", "got"),
    [
        (np.full((50, 50), 200, np.uint8), "without colour"),
        (slide([(40, 40)], 100) // 4, "dark background"),
        (np.dstack([np.full((50, 50), 200, np.uint8)] * 2 + [np.full((50, 50), 205, np.uint8)]), "hardly any colour"),
        (np.full((50, 50, 3), (238, 200, 235), np.uint8), "no nucleus"),
        ((slide([(40, 40)], 100) * (1.0, 0.7, 0.6)).astype(np.uint8), "red or brown"),
    ],
)
def test_what_is_no_stained_slide_is_refused(
    picture: NDArray[np.uint8], got: str, take: Take, store: ImageStore
) -> None:
    with pytest.raises(ToolRefusedError, match=got):
        run(take(picture), store)


def test_a_slide_with_dust_only_has_no_nuclei() -> None:
    dust = np.full((100, 100, 3), (238, 220, 235), np.uint8)
    dust[50, 50] = (95, 60, 150)
    assert nuclei(dust).max() == 0


def test_counts_are_near_the_hand_counts(data_dir: Path) -> None:
    folder = data_dir / "nuclei_dsb2018"
    for name, counted in {"136000dc18fa6def.png": 34, "be771d6831e3f8f1.png": 18}.items():
        rgb = np.asarray(PIL.Image.open(folder / "images" / name).convert("RGB"))
        found = len(np.unique(nuclei(rgb))) - 1
        assert abs(found - counted) / counted < 0.5
