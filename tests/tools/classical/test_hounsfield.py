"""The CT slice statistics, on a slice whose composition is known and on real ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.card import ScaledImageArguments
from polyclinic.tools.classical.hounsfield import TOOL, SliceComposition, body_mask, lacks_air_and_fat
from polyclinic.tools.imaging.pixels import packed
from polyclinic.tools.imaging.store import ImageStore, TakenIn

Take = Callable[..., TakenIn]


def phantom() -> NDArray[np.float32]:
    """A square body of soft tissue, a quarter each of fat, gas and bone inside, above a thin table."""
    hu = np.full((256, 256), -1000.0, dtype=np.float32)
    hu[40:200, 40:200] = 40.0
    hu[60:100, 60:100], hu[60:100, 120:160], hu[120:160, 60:100] = -100.0, -900.0, 700.0
    hu[230:232, 10:240] = 200.0
    return hu


def run(hu: NDArray[np.float32], store: ImageStore, spacing: tuple[float, float] | None = None) -> SliceComposition:
    output = TOOL.run(ScaledImageArguments(image=store._blobs.put(packed(hu, "HU")), spacing_mm=spacing), store)
    assert isinstance(output, SliceComposition)
    return output


def test_the_phantom_is_measured_as_built(store: ImageStore) -> None:
    output = run(phantom(), store, (0.5, 2.0))
    assert output.body_area is not None
    assert output.body_area.value == pytest.approx(256.0, abs=1)
    for share in (output.fat, output.air, output.bone):
        assert share.value == pytest.approx(100 * 1600 / 25_600, abs=0.1)
    assert output.soft_tissue.value == pytest.approx(81.2, abs=0.2)
    assert output.median.value == 40.0
    assert output.median.text == "The median inside the body is 40 HU."
    assert output.limitations == ()


def test_the_table_is_not_body_and_holes_are() -> None:
    body = body_mask(phantom())
    assert not body[220:].any()
    assert body[80, 140]


def test_values_without_air_and_fat_are_no_hounsfield_units(store: ImageStore) -> None:
    magnetic = np.random.default_rng(0).uniform(0.0, 900.0, (128, 128)).astype(np.float32)
    assert lacks_air_and_fat(magnetic)
    with pytest.raises(ToolRefusedError, match="neither air nor fat"):
        run(magnetic, store)
    for value in (-1000.0, -100.0):  # one of the two is enough: a cut slice may show no air
        some = magnetic.copy()
        some[:2] = value
        assert not lacks_air_and_fat(some)
    assert not lacks_air_and_fat(phantom())


def test_without_a_spacing_there_is_no_area_and_it_is_said(store: ImageStore) -> None:
    output = run(phantom(), store)
    assert output.body_area is None
    assert "spacing" in output.limitations[0]


@pytest.mark.parametrize(("name", "low", "high"), [("CT_small.dcm", 0, 60), ("693_J2KI.dcm", 0, 60)])
def test_real_slices_have_a_soft_tissue_median(
    name: str, low: float, high: float, take: Take, store: ImageStore
) -> None:
    image = take(str(get_testdata_file(name, download=False))).image
    output = TOOL.run(ScaledImageArguments(image=str(image.blob), spacing_mm=image.spacing_mm), store)
    assert isinstance(output, SliceComposition)
    assert low < output.median.value < high
    total = sum(share.value for share in (output.air, output.fat, output.soft_tissue, output.bone))
    assert total == pytest.approx(100.0, abs=0.3)


def test_grey_levels_and_empty_slices_are_refused(take: Take, store: ImageStore) -> None:
    grey = take(np.eye(64, dtype=np.uint8) * 255).image
    with pytest.raises(ToolRefusedError, match="not Hounsfield units"):
        TOOL.run(ScaledImageArguments(image=str(grey.blob)), store)
    with pytest.raises(ToolRefusedError, match="hardly any body"):
        run(np.full((64, 64), -1000.0, np.float32), store)
