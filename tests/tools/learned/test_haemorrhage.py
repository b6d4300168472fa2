"""Blood by the trained network: on a drawn skull, in Hounsfield units and grey levels, and what it must refuse."""

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
from polyclinic.tools.learned.haemorrhage import SETTINGS, TOOL, Haemorrhage, brain_mask, framed, head_frame

Take = Callable[..., TakenIn]


def run(taken: TakenIn, store: ImageStore, spacing: tuple[float, float] | None = None) -> Haemorrhage:
    output = TOOL.run(ScaledImageArguments(image=str(taken.image.blob), spacing_mm=spacing), store)
    assert isinstance(output, Haemorrhage)
    return output


BLOOD = (slice(210, 270), slice(280, 330))


def head(*, blood: bool = True, skull: bool = True) -> NDArray[np.uint8]:
    """A slice of a head (512, 512) in HU cut to 0 to 255: skin, skull, brain, dark ventricles, a bleed in the brain."""
    rows, columns = np.mgrid[:512, :512].astype(float)
    radius = np.hypot((rows - 250) / 190, (columns - 256) / 150)
    hu = np.where(radius < 1.0, 40.0, 0.0)
    if skull:
        hu[(radius < 0.97) & (radius > 0.88)] = 255.0
    hu[radius < 0.88] = 34.0
    hu[(np.abs(columns - 240) < 10) & (np.abs(rows - 240) < 45)] = 6.0
    hu[np.abs(rows - 490) < 3] = 200.0  # a table
    if blood:
        inside = np.hypot((rows - 240) / 30, (columns - 305) / 25) < 1.0
        hu[inside] = 68.0
    noise = np.random.default_rng(0).normal(0.0, 3.0, hu.shape)
    return np.clip(ndimage.gaussian_filter(hu, 1.0) + noise, 0, 255).astype(np.uint8)


def test_a_bleed_in_a_drawn_head_is_outlined(take: Take, store: ImageStore) -> None:
    taken = take(head())
    output = run(taken, store)
    mask = store.open(str(output.blood_area.mask)).array > 0
    rows, columns = np.mgrid[:512, :512].astype(float)
    bleed = np.hypot((rows - 240) / 30, (columns - 305) / 25) < 1.0
    assert 2.0 * (mask & bleed).sum() / (mask.sum() + bleed.sum()) > 0.6
    assert output.blood_area.value == mask.sum()
    assert 0.0 < output.blood_share.value < 10.0
    assert sum(item.value for item in output.types) == pytest.approx(100.0, abs=12.0)
    assert any("read as Hounsfield units" in said for said in output.limitations)
    assert run(taken, store) == output


def test_area_follows_the_spacing(take: Take, store: ImageStore) -> None:
    taken = take(head())
    plain, scaled = run(taken, store), run(taken, store, (0.5, 0.4))
    assert scaled.blood_area.unit == "mm2"
    assert scaled.blood_area.value == pytest.approx(0.2 * plain.blood_area.value, abs=1)
    assert not any("No pixel spacing" in said for said in scaled.limitations)


def test_the_head_is_framed_without_the_table_and_the_brain_found() -> None:
    hu = head().astype(np.float32)
    frame = head_frame(hu)
    assert frame is not None
    assert frame.side == pytest.approx(380 * 1.08, abs=12)
    assert frame.top + frame.side < 480
    brain = brain_mask(hu)
    assert brain[240, 305]
    assert brain[350, 256]
    assert not brain[250, 256 - 138]  # in the skull
    part = framed(hu)
    assert part is not None
    assert part.x.shape == (3, SETTINGS["side_px"], SETTINGS["side_px"])
    assert part.x.min() == 0.0
    assert part.x[1].max() <= 1.0


@pytest.mark.parametrize(
    ("picture", "got"),
    [
        (np.full((300, 300), 0, np.uint8), "without a skull"),
        (head(skull=False), "without a skull"),
        (head()[::5, ::5].copy(), "103 × 103 px"),
        (np.stack([head(), head() // 2, head() // 3], axis=-1), "in colour"),
    ],
)
def test_what_is_no_head_is_refused(picture: NDArray[np.uint8], got: str, take: Take, store: ImageStore) -> None:
    with pytest.raises(ToolRefusedError, match=got):
        run(take(picture), store)


def test_every_slice_of_the_set_is_taken_for_a_head_and_slices_of_a_trunk_are_not(data_dir: Path) -> None:
    import nibabel
    from PIL import Image

    heads = sorted((data_dir / "ct_brain_hemorrhage_seg/images").glob("*.png"))
    trunk = next((data_dir / "ct_totalseg_example").rglob("example_ct.nii.gz"), None)
    if not heads or trunk is None:
        pytest.skip("needs ct_brain_hemorrhage_seg and ct_totalseg_example in the data folder")
    for path in heads:
        with Image.open(path) as picture:
            assert framed(np.asarray(picture.convert("L"), dtype=np.float32)) is not None, path.name
    volume = np.asarray(nibabel.load(trunk).dataobj, dtype=np.float32)
    assert all(framed(volume[:, :, k]) is None for k in range(0, volume.shape[2], 8))
