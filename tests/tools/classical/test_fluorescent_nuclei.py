"""Nuclei in fluorescence: drawn ones whose number is known, real ones with labels, and pictures of another kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.card import ScaledImageArguments
from polyclinic.tools.classical.fluorescent_nuclei import TOOL, FluorescentNuclei, nuclei
from polyclinic.tools.imaging.store import ImageStore, TakenIn

Take = Callable[..., TakenIn]


def field(radius: int = 12, *, touching: bool = False) -> NDArray[np.uint8]:
    """Twenty-five nuclei of one size and of different brightness on a dark ground; pairs touch if so asked."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:300, :300]
    picture = np.full((300, 300), 8.0)
    step = 2 * radius - 4 if touching else 0
    for row in range(30, 300, 60):
        for column in range(30, 300, 60):
            light = generator.uniform(50, 200)
            for shift in {0, step}:
                picture = np.where((y - row) ** 2 + (x - column - shift) ** 2 <= radius**2, light, picture)
    picture = ndimage.gaussian_filter(picture, 1.0) + generator.normal(0, 2, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)


def run(picture: NDArray[np.uint8], take: Take, store: ImageStore, **stated: object) -> FluorescentNuclei:
    blob = str(take(picture).image.blob)
    output = TOOL.run(ScaledImageArguments.model_validate({"image": blob, **stated}), store)
    assert isinstance(output, FluorescentNuclei)
    return output


@pytest.mark.parametrize("radius", [6, 12, 20])
def test_single_nuclei_are_counted_and_measured(radius: int, take: Take, store: ImageStore) -> None:
    output = run(field(radius), take, store)
    assert output.nuclei_count.value == 25
    assert output.nucleus_size.value == pytest.approx(2 * radius, abs=2)
    assert output.nuclei_area.value == pytest.approx(100 * 25 * np.pi * radius**2 / 300**2, rel=0.25)
    assert output.nucleus_size.unit == "px"


def test_ragged_and_huge_regions_are_refused(take: Take, store: ImageStore) -> None:
    y, x = np.mgrid[:300, :300] - 150
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(300, 300)), 4.0)
    ridges = abs(noise) < 0.25 * noise.std()
    for lit, got in ((ridges, "not round or oval"), (np.hypot(y, x) < 100, "as wide as")):
        with pytest.raises(ToolRefusedError, match=got):
            run(np.where(lit, 150, 8).astype(np.uint8), take, store)


def test_touching_nuclei_are_told_apart() -> None:
    assert len(np.unique(nuclei(field(touching=True).astype(np.float32)))) - 1 == pytest.approx(50, abs=2)


def test_the_size_is_in_micrometres_where_the_spacing_is_known(take: Take, store: ImageStore) -> None:
    output = run(field(12), take, store, spacing_mm=(0.0005, 0.0005))
    assert output.nucleus_size.unit == "um"
    assert output.nucleus_size.value == pytest.approx(12, abs=1)


def test_a_picture_larger_than_the_working_size_keeps_its_own_pixels(take: Take, store: ImageStore) -> None:
    large = np.repeat(np.repeat(np.tile(field(12), (2, 2)), 4, axis=0), 4, axis=1)
    output = run(large, take, store)
    assert output.nucleus_size.value == pytest.approx(96, abs=6)
    assert output.nuclei_count.value == pytest.approx(100, abs=2)
    assert store.open(str(output.nuclei_count.mask)).array.shape == (2400, 2400)


def test_real_nuclei_agree_with_their_labels(data_dir: Path, take: Take, store: ImageStore) -> None:
    folder = data_dir / "nuclei_dsb2018"
    if not folder.is_dir():
        pytest.skip("no nuclei_dsb2018 in the sample data")
    rows = (folder / "counts.csv").read_text(encoding="utf-8").splitlines()[1:]
    names = [row.split(",")[0] for row in rows if ",stained," not in row][:4]
    for name in names:
        output = TOOL.run(ScaledImageArguments(image=str(take(str(folder / "images" / name)).image.blob)), store)
        found = store.open(str(output.nuclei_count.mask)).array > 0
        labels = np.asarray(PIL.Image.open(folder / "instance_labels" / name)) > 0
        assert 2 * (found & labels).sum() / (found.sum() + labels.sum()) > 0.75


@pytest.mark.parametrize("name", ["ihc.png", "retina.jpg", "coffee.png", "page.png"])
def test_other_pictures_are_refused(name: str, take: Take, store: ImageStore) -> None:
    blob = str(take(f"package://skimage/data/{name}").image.blob)
    with pytest.raises(ToolRefusedError, match="got"):
        TOOL.run(ScaledImageArguments(image=blob), store)


def test_darkness_holds_no_nuclei(take: Take, store: ImageStore) -> None:
    noise = np.random.default_rng(0).integers(0, 6, (200, 200)).astype(np.uint8)
    with pytest.raises(ToolRefusedError):
        run(noise, take, store)
