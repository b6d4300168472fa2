"""A tumour by the trained network: on a drawn head, on slices of the set, and on what it must refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.card import ScaledImageArguments
from polyclinic.tools.imaging.store import ImageStore, TakenIn
from polyclinic.tools.learned.brain_tumour import SETTINGS, TOOL, BrainTumour, framed, outlined_tumour, probabilities

Take = Callable[..., TakenIn]


def run(taken: TakenIn, store: ImageStore, spacing: tuple[float, float] | None = None) -> BrainTumour:
    output = TOOL.run(ScaledImageArguments(image=str(taken.image.blob), spacing_mm=spacing), store)
    assert isinstance(output, BrainTumour)
    return output


def head(*, tumour: bool = True, shape: tuple[int, int] = (400, 320)) -> NDArray[np.uint8]:
    """An oval head with a bright rim, grey brain, dark ventricles, and a bright round mass on one side."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    rows, columns = (rows - shape[0] / 2) / (0.45 * shape[0]), (columns - shape[1] / 2) / (0.42 * shape[1])
    radius = np.hypot(rows, columns)
    picture = np.where(radius < 1.0, 130.0, 4.0)
    picture[radius < 0.93] = 25.0
    picture[radius < 0.88] = 62.0
    picture[(np.abs(columns) < 0.12) & (np.abs(rows) < 0.25)] = 25.0
    if tumour:
        picture[np.hypot(rows + 0.4, columns - 0.45) < 0.25] = 150.0
    noise = np.random.default_rng(0).normal(0.0, 3.0, shape)
    return np.clip(ndimage.gaussian_filter(picture, 1.5) + noise, 0, 255).astype(np.uint8)


def test_a_bright_mass_in_a_drawn_head_is_outlined(take: Take, store: ImageStore) -> None:
    taken = take(head())
    output = run(taken, store)
    mask = store.open(str(output.tumour_area.mask)).array > 0
    rows, columns = np.mgrid[:400, :320].astype(float)
    mass = np.hypot((rows - 200) / 180 + 0.4, (columns - 160) / 134.4 - 0.45) < 0.25
    assert mask.shape == (400, 320)
    assert 2.0 * (mask & mass).sum() / (mask.sum() + mass.sum()) > 0.6
    assert output.tumour_area.unit == "px2"
    assert output.tumour_area.value == mask.sum()
    assert "No pixel spacing" in output.limitations[1]
    assert run(taken, store) == output


def test_lengths_follow_the_spacing(take: Take, store: ImageStore) -> None:
    taken = take(head())
    plain, scaled = run(taken, store), run(taken, store, (0.5, 0.5))
    assert scaled.tumour_area.unit == "mm2"
    assert scaled.tumour_area.value == pytest.approx(plain.tumour_area.value / 4, abs=1)
    assert scaled.tumour_diameter.value == pytest.approx(plain.tumour_diameter.value / 2, abs=1)
    assert scaled.tumour_share == plain.tumour_share


def test_types_are_three_probabilities_with_their_findings(take: Take, store: ImageStore) -> None:
    output = run(take(head()), store)
    named = (output.type_probability, *output.other_types)
    assert sum(item.value for item in named) == pytest.approx(1.0, abs=0.02)
    assert {item.finding for item in named} == {"glioma", "meningioma", "pituitary-adenoma"}
    assert output.type_probability.value == max(item.value for item in named)
    assert (output.type_probability.says == "present") == (output.type_probability.value >= 0.8)
    assert output.detections[0].label in output.type_probability.name


@pytest.mark.parametrize(
    ("picture", "got"),
    [
        (np.full((200, 200), 80, np.uint8), "no region stands out"),
        (head()[::5, ::5].copy(), "64 × 80 px"),
        (np.stack([head(), head() // 2, head() // 3], axis=-1), "in colour"),
    ],
)
def test_what_is_no_head_is_refused(picture: NDArray[np.uint8], got: str, take: Take, store: ImageStore) -> None:
    with pytest.raises(ToolRefusedError, match=got):
        run(take(picture), store)


def test_brightness_of_the_whole_slice_means_nothing() -> None:
    slice_ = head().astype(np.float32)
    x, frame = framed(slice_)
    brighter, _ = framed(7.0 * slice_)
    assert x.shape == (1, SETTINGS["side_px"], SETTINGS["side_px"])
    np.testing.assert_allclose(brighter, x, rtol=1e-3, atol=1e-3)
    assert frame.side == 400


def test_a_crumb_beside_the_tumour_is_left_out() -> None:
    share = np.zeros((60, 60), np.float32)
    share[10:30, 10:30] = 0.9
    share[40:45, 40:45] = 0.9
    found = outlined_tumour(share)
    assert found[20, 20]
    assert not found[42, 42]
    share[40:60, 40:60] = 0.9
    assert outlined_tumour(share)[42, 42]


def test_a_higher_temperature_is_less_sure() -> None:
    shares = np.array([0.7, 0.2, 0.1])
    np.testing.assert_allclose(probabilities(shares, 1.0), shares)
    assert probabilities(shares, 2.0).max() < 0.7 < probabilities(shares, 0.5).max()
    assert probabilities(shares, 3.0).sum() == pytest.approx(1.0)


def test_most_tumours_of_the_set_are_met(data_dir: Path, take: Take, store: ImageStore) -> None:
    folder = data_dir / "mri_brisc_seg/images"
    if not folder.is_dir():
        pytest.skip(f"no BRISC: {folder} is not a folder")
    paths = sorted(folder.glob("*.png"))[::6]
    found = [run(take(path.read_bytes()), store) for path in paths]  # trained on these: that it runs, not how well
    assert all(0.0 < output.tumour_share.value < 30.0 for output in found)
