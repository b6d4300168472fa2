"""Vessel segmentation: on a real photograph, on hand-drawn truth where it is at hand, and on what it must refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.card import ImageArguments
from polyclinic.tools.classical.fundus_vessels import TOOL, FundusVessels, field_of_view, vessel_mask
from polyclinic.tools.imaging.store import ImageStore, TakenIn

Take = Callable[..., TakenIn]


def run(taken: TakenIn, store: ImageStore) -> FundusVessels:
    output = TOOL.run(ImageArguments(image=str(taken.image.blob)), store)
    assert isinstance(output, FundusVessels)
    return output


def eye(**changes: int) -> NDArray[np.uint8]:
    """A round reddish field with two dark lines across it."""
    rows, columns = np.mgrid[:400, :400]
    picture = np.zeros((400, 400, 3), np.uint8)
    inside = (rows - 200) ** 2 + (columns - 200) ** 2 < 180**2
    noise = np.random.default_rng(0).integers(-4, 5, (400, 400))
    for channel, level in enumerate((180, 90, 40)):
        picture[..., channel] = np.where(inside, level + noise, 0)
    if changes.get("lines", 1):
        picture[100:105, 60:340, 1] = picture[60:340, 300:304, 1] = 45
    return picture


def test_a_real_photograph_gives_a_plausible_density_twice_the_same(take: Take, store: ImageStore) -> None:
    taken = take("package://skimage/data/retina.jpg")
    output = run(taken, store)
    assert 5.0 < output.vessel_density.value < 18.0
    assert output.vessel_density.text == f"Retinal vessels cover {output.vessel_density.value} % of the field of view."
    assert store.open(str(output.vessel_density.mask)).array.shape == (1411, 1411)
    assert output.overlay is not None
    assert run(taken, store) == output


def test_drawn_lines_are_found_and_the_rim_is_not() -> None:
    picture = eye()
    found = vessel_mask(picture, field_of_view(picture))
    assert found[102, 100:290].mean() > 0.9
    assert found[100:300, 302].mean() > 0.9
    rows, columns = np.mgrid[:400, :400]
    rim = np.abs(np.hypot(rows - 200, columns - 200) - 176) < 4
    assert found[rim].mean() < 0.1
    assert found.mean() < 0.04


def test_the_field_is_the_lit_disc() -> None:
    assert field_of_view(eye()).sum() == pytest.approx(np.pi * 180**2, rel=0.02)


@pytest.mark.parametrize(
    ("picture", "got"),
    [
        (np.full((400, 400), 100, np.uint8), "without colour"),
        (eye()[..., ::-1].copy(), "not reddish"),
        (eye()[::4, ::4].copy(), "200 px wide"),
        (np.dstack([np.zeros((300, 300), np.uint8)] * 2 + [np.full((300, 300), 9, np.uint8)]), "200 px wide"),
    ],
)
def test_what_is_no_fundus_photograph_is_refused(
    picture: NDArray[np.uint8], got: str, take: Take, store: ImageStore
) -> None:
    with pytest.raises(ToolRefusedError, match=got):
        run(take(picture), store)


def test_a_field_with_cut_corners_is_an_endoscope_s(take: Take, store: ImageStore) -> None:
    rows, columns = np.mgrid[:400, :400]
    inside = np.maximum(abs(rows - 200), abs(columns - 200)) < 180
    inside &= abs(rows - 200) + abs(columns - 200) < 300
    picture = np.where(inside[..., None], eye()[200, 200], 0).astype(np.uint8)
    picture[100:105, 60:340, 1] = picture[60:340, 300:304, 1] = 45
    with pytest.raises(ToolRefusedError, match="round border"):
        run(take(picture), store)
    assert run(take(eye()), store).vessel_density.value > 0


def test_an_even_field_has_no_vessels(take: Take, store: ImageStore) -> None:
    flat = eye(lines=0)
    flat[flat[..., 0] > 0] = (180, 90, 40)
    with pytest.raises(ToolRefusedError, match="no vessel stands out"):
        run(take(flat), store)


def test_it_agrees_with_hand_drawn_vessels(data_dir: Path) -> None:
    for name in ("Image_05L", "Image_12R"):
        rgb = np.asarray(PIL.Image.open(data_dir / f"fundus_chasedb1/{name}.jpg"))
        truth = np.asarray(PIL.Image.open(data_dir / f"fundus_chasedb1/{name}_1stHO.png")) > 0
        found = vessel_mask(rgb, field_of_view(rgb))
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.65
