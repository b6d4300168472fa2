"""CT volumes in millilitres: a built body whose parts are known, the public example, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.card import ImageArguments
from polyclinic.tools.classical.ct_volumes import TOOL, Composition
from polyclinic.tools.imaging.store import ImageStore, TakenIn

Put = Callable[..., str]


def body() -> NDArray[np.float32]:
    """40 slices of 2 mm: a block of soft tissue with two lungs, a bone, fat, bowel gas and a windpipe in it."""
    hu = np.full((40, 120, 120), -1000.0, dtype=np.float32)
    hu[:, 20:100, 10:110] = 40.0
    hu[5:30, 40:80, 20:45] = -800.0
    hu[5:30, 40:80, 75:100] = -800.0
    hu[5:30, 55:58, 30:33] = 40.0  # a vessel in the lung
    hu[:, 84:92, 52:68] = 400.0
    hu[:, 22:26, 12:108] = -100.0
    hu[32:38, 40:60, 30:60] = -1000.0
    hu[0:20, 60:68, 56:64] = -1000.0
    return hu


def run(store: ImageStore, blob: str) -> Composition:
    output = TOOL.run(ImageArguments(image=blob), store)
    assert isinstance(output, Composition)
    return output


def test_the_built_body_is_measured_as_built(store: ImageStore, put_volume: Put) -> None:
    output = run(store, put_volume(body()))
    voxel = 0.008
    assert output.lung is not None
    assert output.lung.value == pytest.approx(2 * 25 * 40 * 25 * voxel, rel=0.02)
    assert output.body.value == pytest.approx(40 * 80 * 100 * voxel, rel=0.02)
    assert output.bone.value == pytest.approx(40 * 8 * 16 * voxel, rel=0.02)
    assert output.fat.value == pytest.approx(40 * 4 * 96 * voxel, rel=0.02)
    assert output.other_gas.value == pytest.approx((6 * 20 * 30 + 20 * 8 * 8) * voxel, rel=0.05)
    assert output.lung.unit == "mL"
    assert output.lung_attenuation is not None
    assert output.lung_attenuation.value == pytest.approx(-800, abs=12)
    parts = (output.lung, output.bone, output.fat, output.other_gas, output.soft_tissue)
    assert sum(part.value for part in parts) == pytest.approx(output.body.value, rel=0.02)


def test_an_mr_stated_as_ct_is_refused(store: ImageStore, put_volume: Put) -> None:
    with pytest.raises(ToolRefusedError, match=r"neither air nor fat.*an MR"):
        run(store, put_volume(np.abs(body()) % 900.0))


def test_the_scale_follows_the_spacing(store: ImageStore, put_volume: Put) -> None:
    small, large = (run(store, put_volume(body(), step)) for step in ((2.0, 2.0, 2.0), (4.0, 2.0, 2.0)))
    assert large.body.value == pytest.approx(2 * small.body.value, rel=0.01)


def test_without_lung_nothing_is_said_of_it(store: ImageStore, put_volume: Put) -> None:
    hu = np.full((10, 60, 60), -1000.0, dtype=np.float32)
    hu[:, 10:50, 10:50] = 40.0
    output = run(store, put_volume(hu))
    assert output.lung is output.lung_attenuation is output.low_attenuation is None
    assert any("No lung" in text for text in output.limitations)


def test_a_lung_that_the_scan_cuts_is_said_to_be_cut(store: ImageStore, put_volume: Put) -> None:
    cut = run(store, put_volume(body()[10:]))
    assert any("end of the scan" in text for text in cut.limitations)


def test_a_large_volume_is_thinned_out_and_gives_the_same_volumes(store: ImageStore, put_volume: Put) -> None:
    fine = np.repeat(np.repeat(np.repeat(body(), 4, axis=0), 3, axis=1), 3, axis=2).astype(np.int16)
    assert fine.size > 12_000_000
    thick, thin = run(store, put_volume(body())), run(store, put_volume(fine, (0.5, 2 / 3, 2 / 3)))
    assert thick.lung is not None
    assert thin.lung is not None
    assert thin.lung.value == pytest.approx(thick.lung.value, rel=0.03)
    assert store.open(str(thin.lung.mask)).array.shape == fine.shape[1:]
    assert store.open(str(thin.overlay)).array.shape == (*fine.shape[1:], 3)


@pytest.mark.parametrize(
    ("spacing", "axes", "said"), [(None, "SPL", "spacing"), ((2.0, 2.0, 2.0), "PSL", "head to feet")]
)
def test_what_cannot_be_measured_is_refused(
    spacing: object, axes: str, said: str, store: ImageStore, put_volume: Put
) -> None:
    with pytest.raises(ToolRefusedError, match=said):
        run(store, put_volume(body(), spacing, axes))


def test_a_single_slice_and_an_empty_volume_are_refused(store: ImageStore, put_hu: Put, put_volume: Put) -> None:
    with pytest.raises(ToolRefusedError, match="single picture"):
        run(store, put_hu(body()[10]))
    with pytest.raises(ToolRefusedError, match="hardly any body"):
        run(store, put_volume(np.full((5, 40, 40), -1000.0, np.float32)))


def test_the_public_example_agrees_with_its_reference(
    data_dir: Path, take: Callable[..., TakenIn], store: ImageStore
) -> None:
    path = data_dir / "ct_totalseg_example/example_ct_sm.nii.gz"
    if not path.is_file():
        pytest.skip("no ct_totalseg_example in the sample data")
    output = run(store, str(take(str(path), modality="ct").image.blob))
    assert output.lung is not None
    assert output.lung.value == pytest.approx(116.3, rel=0.03)  # what TotalSegmentator, a model, takes to be lung
