"""Vessels by the trained network: on a photograph of another source, on drawn lines, and on what it must refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.card import ImageArguments
from polyclinic.tools.classical.fundus_vessels import field_of_view
from polyclinic.tools.imaging.raster import png_bytes
from polyclinic.tools.imaging.store import ImageStore, TakenIn
from polyclinic.tools.learned.network import Network
from polyclinic.tools.learned.vessels import SETTINGS, TOOL, Vessels, framed, mean_width, vessel_mask

Take = Callable[..., TakenIn]


def run(taken: TakenIn, store: ImageStore) -> Vessels:
    output = TOOL.run(ImageArguments(image=str(taken.image.blob)), store)
    assert isinstance(output, Vessels)
    return output


def eye(side: int = 600, *, lines: bool = True) -> NDArray[np.uint8]:
    """A round reddish field with dark lines across it, not quite even and with a little noise."""
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    inside = np.hypot(rows, columns) < 0.45
    noise = np.random.default_rng(0).normal(0.0, 2.0, (side, side))
    picture = np.zeros((side, side, 3), np.uint8)
    for channel, level in enumerate((180, 90, 40)):
        light = level * (1.0 - 0.6 * (rows**2 + columns**2)) + noise
        if lines and channel < 2:
            near = np.minimum(np.abs(rows - 0.4 * columns), np.abs(columns + 0.3 * rows - 0.1))
            light = light * (1.0 - (0.35 if channel else 0.12) * np.exp(-0.5 * (near / 0.005) ** 2))
        picture[..., channel] = np.where(inside, np.clip(light, 0, 255), 0)
    return picture


def test_a_real_photograph_gives_a_plausible_density_twice_the_same(take: Take, store: ImageStore) -> None:
    taken = take("package://skimage/data/retina.jpg")
    output = run(taken, store)
    assert 6.0 < output.vessel_density.value < 16.0
    assert 0.5 < output.vessel_width.value < 2.0
    assert output.vessel_density.text == f"Retinal vessels cover {output.vessel_density.value} % of the field of view."
    mask = store.open(str(output.vessel_density.mask)).array > 0
    field = store.open(str(output.field_of_view.mask)).array > 0
    assert mask.shape == (1411, 1411)
    assert not (mask & ~field).any()
    assert 100.0 * mask.sum() / field.sum() == pytest.approx(output.vessel_density.value, abs=0.06)
    assert output.overlay is not None
    assert run(taken, store) == output


def test_drawn_lines_are_found_and_the_rim_is_not() -> None:
    picture = eye()
    found = vessel_mask(picture, field_of_view(picture), Network.shipped("vessels"))
    rows, columns = np.mgrid[:600, :600] / 600 - 0.5
    middle = np.hypot(rows, columns) < 0.4
    assert found[middle & (np.abs(rows - 0.4 * columns) < 0.002)].mean() > 0.8
    assert found[np.abs(np.hypot(rows, columns) - 0.445) < 0.01].mean() < 0.15
    assert found.mean() < 0.06


def test_a_picture_keeps_its_answer_when_it_is_enlarged_or_has_a_margin() -> None:
    network = Network.shipped("vessels")
    picture = eye()
    found = vessel_mask(picture, field_of_view(picture), network)
    margin = np.pad(picture, ((30, 0), (0, 77), (0, 0)))
    shifted = vessel_mask(margin, field_of_view(margin), network)[30:, :600]
    assert (shifted == found).mean() > 0.999
    large = np.asarray(PIL.Image.fromarray(picture).resize((900, 900), PIL.Image.Resampling.BICUBIC))
    density = [float(mask.sum()) / mask.size for mask in (found, vessel_mask(large, field_of_view(large), network))]
    assert density[1] == pytest.approx(density[0], rel=0.15)


def test_the_network_sees_the_field_alone_at_one_width() -> None:
    picture = eye(800)
    part = framed(picture, field_of_view(picture))
    assert part.x.shape[2] == SETTINGS["field_width_px"]
    assert part.x.dtype == np.float32
    assert not part.x[:, ~part.inside].any()
    assert abs(part.x).max() <= SETTINGS["limit"]
    assert abs(float(part.x[0][part.inside].mean())) < 0.2


@pytest.mark.parametrize("width", [3, 7, 12])
def test_the_width_of_a_straight_line_is_its_width(width: int) -> None:
    mask = np.zeros((100, 300), np.bool_)
    mask[40 : 40 + width, 5:295] = True
    assert mean_width(mask) == pytest.approx(width, rel=0.1)
    assert mean_width(np.zeros((9, 9), np.bool_)) == 0.0


@pytest.mark.parametrize(
    ("picture", "got"),
    [
        (np.full((400, 400), 100, np.uint8), "without colour"),
        (eye()[..., ::-1].copy(), "not reddish"),
        (eye()[::4, ::4].copy(), "200 px wide"),
        (eye(lines=False), r"of which vessels cover 0\.\d %"),
    ],
)
def test_what_is_no_fundus_photograph_is_refused(
    picture: NDArray[np.uint8], got: str, take: Take, store: ImageStore
) -> None:
    with pytest.raises(ToolRefusedError, match=got):
        run(take(picture), store)


def test_it_agrees_with_hand_drawn_vessels_of_a_set_it_was_not_trained_on(data_dir: Path) -> None:
    folder = data_dir / "fundus_drive/training"
    if not folder.is_dir():
        pytest.skip(f"no DRIVE: {folder} is not a folder")
    scores = []
    for number in (21, 30, 38):
        with PIL.Image.open(folder / f"images/{number}_training.png") as picture:
            rgb = np.asarray(picture.convert("RGB"))
        with PIL.Image.open(folder / f"1st_manual/{number}_manual1.gif") as drawn:
            truth = np.asarray(drawn.convert("L")) > 0
        found = vessel_mask(rgb, field_of_view(rgb), Network.shipped("vessels"))
        scores.append(2 * (found & truth).sum() / (found.sum() + truth.sum()))
    assert np.mean(scores) > 0.7


def test_a_stored_picture_is_read_as_its_file(take: Take, store: ImageStore) -> None:
    picture = eye()
    assert run(take(picture), store) == run(take(png_bytes(picture)), store)
