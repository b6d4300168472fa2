"""Lesion size: drawn ellipses whose axes are known, real polyps, and prompts that make no sense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.classical.lesion_size import TOOL, LesionSize, PromptArguments, axes, from_box, texture
from polyclinic.tools.imaging.store import ImageStore, TakenIn

Take = Callable[..., TakenIn]


def ellipse(long: float, short: float, turn: float, size: int = 260) -> NDArray[np.bool_]:
    """An ellipse with these two diameters in px, turned by `turn` radians, in the middle of a square."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return np.asarray((2 * along / long) ** 2 + (2 * across / short) ** 2 <= 1)


def drawn(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A dark red region on paler ground, with noise."""
    picture = np.where(mask[..., None], (120, 60, 50), (190, 140, 120)).astype(float)
    picture += np.random.default_rng(0).normal(0, 6, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)


@given(long=st.floats(40, 220), share=st.floats(0.3, 0.95), turn=st.floats(0, np.pi))
@settings(max_examples=25)
def test_the_axes_of_a_drawn_ellipse_are_found(long: float, share: float, turn: float) -> None:
    found = axes(ellipse(long, share * long, turn), (1.0, 1.0))
    assert found.long == pytest.approx(long, abs=1.5)  # its border falls between pixels on either side
    assert found.short == pytest.approx(share * long, abs=1.5)
    (x0, y0), (x1, y1) = found.long_ends
    assert np.hypot(x1 - x0, y1 - y0) == pytest.approx(found.long, abs=1e-6)


def test_uneven_pixels_are_measured_in_millimetres() -> None:
    found = axes(ellipse(100, 100, 0.0), (0.5, 2.0))
    assert found.long == pytest.approx(200, abs=3)
    assert found.short == pytest.approx(50, abs=1.5)


@pytest.mark.parametrize("prompt", [{"box": (60, 90, 200, 170)}, {"point": (130, 130)}])
def test_a_drawn_lesion_is_found_from_a_box_or_a_point(
    prompt: dict[str, tuple[int, ...]], take: Take, store: ImageStore
) -> None:
    mask = ellipse(140, 80, 0.0)
    blob = str(take(drawn(mask)).image.blob)
    output = TOOL.run(PromptArguments.model_validate({"image": blob, "spacing_mm": (0.5, 0.5), **prompt}), store)
    assert isinstance(output, LesionSize)
    assert output.long_axis.value == pytest.approx(70, abs=4)
    assert output.short_axis.value == pytest.approx(40, abs=3)
    assert (output.long_axis.unit, output.area.unit) == ("mm", "mm2")
    assert output.area.value == pytest.approx(np.pi * 35 * 20, rel=0.08)
    assert output.eccentricity.value == pytest.approx(0.82, abs=0.05)
    assert output.solidity.value > 0.95
    found = store.open(str(output.long_axis.mask)).array > 0
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.95


def test_a_notched_region_is_less_solid_and_less_circular(take: Take, store: ImageStore) -> None:
    whole = ellipse(120, 120, 0.0)
    outputs = []
    for mask in (whole, whole & ~np.roll(ellipse(90, 90, 0.0), 55, axis=1)):
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        blob = str(take(drawn(mask)).image.blob)
        outputs.append(TOOL.run(PromptArguments(image=blob, box=box), store))
    assert outputs[1].circularity.value < outputs[0].circularity.value
    assert outputs[0].circularity.value > 0.85
    assert outputs[0].long_axis.unit == "px"
    assert "not known" in outputs[0].limitations[0]


def test_texture_tells_smooth_from_coarse() -> None:
    mask = np.ones((64, 64), bool)
    ramp = np.linspace(0, 100, 64, dtype=np.float32)[None].repeat(64, axis=0)
    noise = np.random.default_rng(0).uniform(0, 100, (64, 64)).astype(np.float32)
    smooth, coarse = texture(ramp, mask), texture(noise, mask)
    assert smooth[0] < 2 < coarse[0]
    assert smooth[1] > coarse[1]


@pytest.mark.parametrize(
    "prompt",
    [{}, {"point": (-1, 5)}, {"point": (5, 400)}, {"box": (10, 10, 12, 40)}, {"box": (0, 0, 500, 50)},
     {"box": (50, 60, 40, 70)}],
)  # fmt: skip
def test_prompts_that_point_nowhere_are_refused(
    prompt: dict[str, tuple[int, ...]], take: Take, store: ImageStore
) -> None:
    blob = str(take(drawn(ellipse(100, 60, 0.0))).image.blob)
    with pytest.raises(ToolRefusedError, match="got"):
        TOOL.run(PromptArguments.model_validate({"image": blob, **prompt}), store)


def test_a_box_on_even_ground_is_refused(take: Take, store: ImageStore) -> None:
    blob = str(take(drawn(np.zeros((200, 200), bool))).image.blob)
    with pytest.raises(ToolRefusedError, match="of their spread"):
        TOOL.run(PromptArguments(image=blob, box=(50, 50, 120, 120)), store)


def test_real_polyps_given_their_box(data_dir: Path) -> None:
    paths = sorted((data_dir / "endo_kvasirseg/images").glob("*.jpg"))[5:9]
    if not paths:
        pytest.skip("no endo_kvasirseg in the sample data")
    for path in paths:
        picture = np.asarray(PIL.Image.open(path).convert("RGB"))
        mask = np.asarray(PIL.Image.open(path.parent.parent / "masks" / path.name).convert("L")) > 127
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        found = from_box(picture, (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
        assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.7


def test_a_ct_slice_is_measured_in_hounsfield_units(store: ImageStore, put_hu: Callable[..., str]) -> None:
    hu = np.where(ellipse(60, 40, 0.0, 128), 120.0, 30.0).astype(np.float32)
    hu += np.random.default_rng(0).normal(0, 5, hu.shape).astype(np.float32)
    output = TOOL.run(PromptArguments(image=put_hu(hu), spacing_mm=(1.0, 1.0), box=(34, 44, 94, 84)), store)
    assert output.mean.unit == "HU"
    assert output.mean.value == pytest.approx(120, abs=8)
    assert output.long_axis.value == pytest.approx(60, abs=2)
