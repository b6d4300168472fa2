"""Optic-disc localisation: a drawn disc among distractors, a real photograph, and pictures without a disc."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from polyclinic.core.errors import ToolRefusedError
from polyclinic.knowledge.criteria import shipped_criteria
from polyclinic.tools.card import ImageArguments
from polyclinic.tools.classical.fundus_disc import TOOL, FundusDisc, find_cup, find_disc
from polyclinic.tools.classical.fundus_vessels import field_of_view
from polyclinic.tools.imaging.store import ImageStore, TakenIn

Take = Callable[..., TakenIn]


def eye(*, disc: bool) -> NDArray[np.uint8]:
    """A field with vessels that meet at (300, 200), a bright disc there, and a small bright lesion elsewhere."""
    rows, columns = np.mgrid[:400, :400].astype(float)
    picture = np.zeros((400, 400, 3))
    picture[:] = (150, 80, 40)
    if disc:
        picture[(rows - 200) ** 2 + (columns - 300) ** 2 < 28**2] = (240, 200, 120)
    picture[(rows - 120) ** 2 + (columns - 120) ** 2 < 10**2] = (255, 255, 200)
    for angle in np.linspace(0, 2 * np.pi, 9)[:-1]:
        across = np.abs(np.cos(angle) * (rows - 200) - np.sin(angle) * (columns - 300))
        along = np.sin(angle) * (rows - 200) + np.cos(angle) * (columns - 300)
        if disc:
            picture[(across < 2) & (along > 0)] *= 0.6
    picture += np.random.default_rng(0).normal(0, 2, picture.shape)
    picture[(rows - 200) ** 2 + (columns - 200) ** 2 > 185**2] = 0
    return picture.clip(0, 255).astype(np.uint8)


def located(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return find_disc(rgb, field_of_view(rgb))


def test_the_disc_is_where_the_vessels_meet_not_where_it_is_brightest() -> None:
    rows, columns = np.nonzero(located(eye(disc=True)))
    assert np.hypot(rows.mean() - 200, columns.mean() - 300) < 8
    assert 2 * np.sqrt(len(rows) / np.pi) == pytest.approx(56, rel=0.15)


def test_a_real_photograph(take: Take, store: ImageStore) -> None:
    output = TOOL.run(ImageArguments(image=str(take("package://skimage/data/retina.jpg").image.blob)), store)
    assert isinstance(output, FundusDisc)
    assert np.hypot(output.disc_centre_x.value - 250, output.disc_centre_y.value - 655) < 80
    assert 10 < output.disc_diameter.value < 20
    box = output.disc_diameter.box_px
    assert box is not None
    assert box[0] < output.disc_centre_x.value < box[2]
    assert store.open(str(output.disc_diameter.mask)).array.shape == (1411, 1411)


def test_without_a_disc_it_refuses() -> None:
    with pytest.raises(ToolRefusedError, match="no region stands out"):
        located(eye(disc=False))


def test_a_field_without_any_bright_region_is_refused() -> None:
    flat = np.zeros((400, 400, 3), np.uint8)
    flat[20:380, 20:380] = (150, 80, 40)
    with pytest.raises(ToolRefusedError):
        located(flat)


def test_the_pale_part_of_a_drawn_disc_is_measured_and_a_plain_disc_has_none() -> None:
    rows, columns = np.mgrid[:200, :200].astype(float)
    picture = np.zeros((200, 200, 3))
    picture[:] = (150, 80, 40)
    disc = (rows - 100) ** 2 + (columns - 100) ** 2 < 40**2
    picture[disc] = (220, 150, 90)
    plain = picture.copy()
    cup = (rows - 100) ** 2 + (columns - 104) ** 2 < 20**2
    picture[cup] = (245, 215, 160)
    noise = np.random.default_rng(0).normal(0, 2, picture.shape)
    found = find_cup((picture + noise).clip(0, 255).astype(np.uint8), disc)
    assert found is not None
    assert 2 * (found & cup).sum() / (found.sum() + cup.sum()) > 0.9
    assert find_cup((plain + noise).clip(0, 255).astype(np.uint8), disc) is None


def test_pallor_is_not_called_a_cup_to_disc_ratio(take: Take, store: ImageStore) -> None:
    output = TOOL.run(ImageArguments(image=str(take("package://skimage/data/retina.jpg").image.blob)), store)
    assert output.cup_ratio is not None
    assert output.cup_ratio.name == "vertical pallor-to-disc ratio"
    assert 0 < output.cup_ratio.value < 1
    names = {name for criterion in shipped_criteria() for name in criterion.measurements}
    assert output.cup_ratio.name not in names
