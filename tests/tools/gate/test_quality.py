"""The quality gate: blank pictures stop, real ones do not, weaknesses are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from polyclinic.tools.card import ImageArguments
from polyclinic.tools.gate.quality import GATE, Quality, grey_levels
from polyclinic.tools.imaging.store import ImageStore, Pixels, TakenIn

Take = Callable[..., TakenIn]


def judged(taken: TakenIn, store: ImageStore) -> Quality:
    output = GATE.run(ImageArguments(image=str(taken.image.blob)), store)
    assert isinstance(output, Quality)
    return output


def _dim_noise() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 6, (200, 200), dtype=np.uint8)


@pytest.mark.parametrize(
    ("picture", "word"),
    [
        (np.full((300, 300), 128, np.uint8), "blank"),
        (np.full((300, 300, 3), (90, 120, 200), np.uint8), "blank"),
        (np.zeros((300, 300), np.uint8), "black"),
        (_dim_noise(), "black"),
        (np.full((300, 300), 255, np.uint8), "blank"),
        (np.arange(120, dtype=np.uint8).reshape(10, 12), "small"),
        (np.full((200, 200), 30_000, np.uint16), "blank"),
    ],
)
def test_a_picture_with_nothing_to_see_stops(
    picture: NDArray[np.uint8], word: str, take: Take, store: ImageStore
) -> None:
    quality = judged(take(picture), store)
    assert quality.verdict == "stop"
    assert word in quality.observations[0]
    assert quality.limitations == quality.observations


@pytest.mark.parametrize(
    "path", ["package://skimage/data/retina.jpg", "package://skimage/data/ihc.png", "package://skimage/data/camera.png"]
)
def test_good_pictures_go(path: str, take: Take, store: ImageStore) -> None:
    quality = judged(take(path), store)
    assert quality.verdict == "go"
    assert quality.limitations == ()


@pytest.mark.parametrize("name", ["CT_small.dcm", "693_J2KI.dcm", "MR_small.dcm", "examples_ybr_color.dcm"])
def test_dicom_pictures_are_not_stopped(name: str, take: Take, store: ImageStore) -> None:
    assert judged(take(str(get_testdata_file(name, download=False))), store).verdict != "stop"


def test_weaknesses_are_named_without_stopping(take: Take, store: ImageStore) -> None:
    camera = store.open(str(take("package://skimage/data/camera.png").image.blob)).array.astype(np.uint8)
    coarse = np.asarray(PIL.Image.fromarray(camera).resize((40, 40)).resize((512, 512), PIL.Image.Resampling.BICUBIC))
    flat = (camera // 12 + 100).astype(np.uint8)
    bright = np.where(camera > 128, 255, camera)
    found = {
        "blurred": judged(take(coarse), store), "low contrast": judged(take(flat), store),
        "over-exposed": judged(take(bright), store), "very small": judged(take(camera[:100, :100]), store),
    }  # fmt: skip
    for word, quality in found.items():
        assert quality.verdict == "go_with_limitation", word
        assert word in " ".join(quality.limitations)


def test_measurements_carry_their_numbers_in_their_text(take: Take, store: ImageStore) -> None:
    quality = judged(take("package://skimage/data/retina.jpg"), store)
    assert [m.name for m in quality.measurements()] == ["contrast", "sharpness", "clipped", "short_side"]
    assert quality.short_side.value == 1411
    for measurement in quality.measurements():
        assert f"{measurement.value:g}" in measurement.text


def test_real_pictures_of_every_set_are_not_stopped(data_dir: Path, take: Take, store: ImageStore) -> None:
    patterns = (
        "fundus_chasedb1/*.jpg", "fundus_drive/training/images/*", "bccd_blood/JPEGImages/*", "endo_kvasirseg/images/*",
        "cxr_covid_boxes_permissive/images/*", "cxr_nih1000_64px/*/*/*", "nuclei_dsb2018/images/*",
        "mri_brisc_seg/images/*", "ct_brain_hemorrhage_seg/images/*", "us_breast_busi_cls/*/*", "vqa_rad/images/*",
    )  # fmt: skip
    stopped = []
    for pattern in patterns:
        for path in sorted(data_dir.glob(pattern))[:4]:
            if judged(take(str(path)), store).verdict == "stop":
                stopped.append(path.name)
    assert stopped == []


def test_hounsfield_units_use_a_fixed_range(take: Take, store: ImageStore) -> None:
    hu = np.array([[-1000.0, 0.0, 3000.0]], dtype=np.float32)
    assert grey_levels(Pixels(array=hu, unit="HU")).tolist() == [[0.0, 0.5, 1.0]]
