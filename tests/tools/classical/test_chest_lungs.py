"""Lung fields and the cardiothoracic ratio: a drawn chest of known widths, real radiographs, and other pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from polyclinic.core.case import Image
from polyclinic.core.errors import ToolRefusedError
from polyclinic.core.evidence import Evidence, Source
from polyclinic.knowledge.criteria import evaluate, shipped_criteria
from polyclinic.tools.card import ViewedImageArguments
from polyclinic.tools.classical.chest_lungs import TOOL, ChestLungs, widths
from polyclinic.tools.classical.lung_fields import lung_fields
from polyclinic.tools.imaging.store import ImageStore, TakenIn

Take = Callable[..., TakenIn]


def chest(heart_left: int = 90) -> NDArray[np.uint8]:
    """Two dark lungs, 320 px wide together, in a bright trunk; the heart reaches `heart_left` px to the left."""
    y, x = np.mgrid[:400, :400].astype(float)
    picture = np.full((400, 400), 60.0)
    picture[(np.abs(x - 200) < 185) & (y > 20)] = 190.0
    right = ((x - 125) / 85) ** 2 + ((y - 200) / 150) ** 2 < 1
    left = ((x - 275) / 85) ** 2 + ((y - 200) / 150) ** 2 < 1
    lungs = (right & (x < 170)) | (left & (x > 230))
    lungs &= y < 310
    lungs &= ~((x > 200) & (x < 200 + heart_left) & (y > 220))
    picture[lungs] = 90.0
    noise = np.random.default_rng(0).normal(0, 4, picture.shape)
    return (ndimage.gaussian_filter(picture, 3.0) + noise).clip(0, 255).astype(np.uint8)


def run(picture: NDArray[np.uint8], take: Take, store: ImageStore, **stated: object) -> ChestLungs:
    blob = str(take(picture).image.blob)
    output = TOOL.run(ViewedImageArguments.model_validate({"image": blob, **stated}), store)
    assert isinstance(output, ChestLungs)
    return output


def test_a_drawn_chest_is_measured_as_drawn() -> None:
    found = widths(lung_fields(chest()))
    assert found.midline_x == pytest.approx(200, abs=8)
    assert found.thorax[1] - found.thorax[0] == pytest.approx(320, abs=16)
    assert found.heart_left[0] == pytest.approx(290, abs=14)
    assert found.heart_right[0] == pytest.approx(170, abs=10)


def test_a_larger_heart_has_a_larger_ratio(take: Take, store: ImageStore) -> None:
    small, large = (run(chest(reach), take, store).ratio.value for reach in (60, 110))
    assert small + 0.08 < large


def test_each_step_names_the_steps_it_was_worked_out_from(take: Take, store: ImageStore) -> None:
    output = run(chest(), take, store, spacing_mm=(0.9, 0.8))
    said = {item.name: item for item in output.measurements()}
    for item in said.values():
        assert set(item.of) <= set(said)
    heart, thorax = said["transverse cardiac diameter"], said["inner thoracic width"]
    assert (heart.unit, thorax.unit) == ("mm", "mm")
    assert output.ratio.of == (heart.name, thorax.name)
    assert heart.value / thorax.value == pytest.approx(output.ratio.value, abs=0.02)
    borders = [said[f"{side} heart border to midline"].value for side in ("right", "left")]
    assert sum(borders) == pytest.approx(heart.value, abs=1.5)
    assert store.open(str(output.overlay)).array.shape == (400, 400, 3)
    assert output.right_lung.box_px is not None
    assert output.left_lung.box_px is not None
    assert output.right_lung.box_px[2] <= output.left_lung.box_px[0]  # the patient's right is on the left


def test_the_ratio_is_judged_by_the_criterion_of_heart_size(take: Take, store: ImageStore) -> None:
    ratio = run(chest(130), take, store).ratio
    item = Evidence(
        id="radiology.t1", kind="measurement", content=ratio.text, name=ratio.name, value=ratio.value, unit=ratio.unit,
        source=Source(kind="tool", name="chest_lungs"), modality="xray", body_part="chest", view="PA",
    )  # fmt: skip
    verdicts = evaluate(shipped_criteria(), [item], {"age": 60})
    (verdict,) = [found for found in verdicts if found.criterion == "heart-size"]
    assert verdict.judgement == ("met" if ratio.value > 0.5 else "not_met")


def test_within_its_uncertainty_nothing_is_claimed(take: Take, store: ImageStore) -> None:
    for reach in (60, 90, 130):
        ratio = run(chest(reach), take, store).ratio
        assert ratio.uncertainty is not None
        if abs(ratio.value - 0.5) <= ratio.uncertainty:
            assert ratio.says == "undecided"
        else:
            assert ratio.says == ("present" if ratio.value > 0.5 else "absent")


def test_on_another_view_than_pa_nothing_is_claimed(take: Take, store: ImageStore) -> None:
    blob = str(take(chest(50)).image.blob)
    said = {
        view: TOOL.run(ViewedImageArguments(image=blob, view=view), store).ratio.says
        for view in (None, "PA", "Postero-anterior", "AP", "AP Supine")
    }
    assert said[None] == said["PA"] == said["Postero-anterior"] != "undecided"
    assert said["AP"] == said["AP Supine"] == "undecided"


def test_a_lateral_film_lies_outside_of_its_domain() -> None:
    def film(view: str | None) -> Image:
        return Image(path="chest.png", modality="xray", body_part="chest", view=view)

    assert TOOL.card.accepts(film("AP"))
    assert TOOL.card.accepts(film(None))
    assert not TOOL.card.accepts(film("Lateral"))
    assert not TOOL.card.accepts(film("left lateral decubitus"))


def test_real_radiographs(data_dir: Path, take: Take, store: ImageStore) -> None:
    paths = sorted((data_dir / "cxr_nih_pneumonia_normal/images").glob("no_finding*"))[:3]
    if not paths:
        pytest.skip("no cxr_nih_pneumonia_normal in the sample data")
    for path in paths:
        output = TOOL.run(ViewedImageArguments(image=str(take(str(path)).image.blob)), store)
        assert 0.35 < output.ratio.value < 0.65
        for lung in (output.right_lung, output.left_lung):
            assert 2 < lung.value < 25


@pytest.mark.parametrize("name", ["retina.jpg", "coins.png", "microaneurysms.png", "ihc.png", "brick.png"])
def test_other_pictures_are_refused(name: str, take: Take, store: ImageStore) -> None:
    blob = str(take(f"package://skimage/data/{name}").image.blob)
    with pytest.raises(ToolRefusedError):
        TOOL.run(ViewedImageArguments(image=blob), store)


def test_a_slice_in_hounsfield_units_is_no_radiograph(store: ImageStore, put_hu: Callable[..., str]) -> None:
    with pytest.raises(ToolRefusedError, match="CT slice"):
        TOOL.run(ViewedImageArguments(image=put_hu(np.zeros((64, 64), np.float32))), store)


@pytest.mark.parametrize("picture", [np.zeros((40, 40), np.uint8), np.full((3, 300), 90, np.uint8)])
def test_blank_and_thin_pictures_are_refused(picture: NDArray[np.uint8], take: Take, store: ImageStore) -> None:
    with pytest.raises(ToolRefusedError):
        run(picture, take, store)
