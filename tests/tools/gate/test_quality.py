"""The quality gate: blank pictures stop, real ones do not, weaknesses are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from polyclinic.tools.gate.quality import GATE, GateArguments, Quality, grey_levels
from polyclinic.tools.imaging.store import ImageStore, Pixels, TakenIn

Take = Callable[..., TakenIn]


def judged(taken: TakenIn, store: ImageStore, **stated: str) -> Quality:
    output = GATE.run(GateArguments.model_validate({"image": str(taken.image.blob), **stated}), store)
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
    names = [m.name for m in quality.measurements()]
    assert names[:7] == ["contrast", "sharpness", "clipped", "short_side", "noise", "lost_in_black", "text_rows"]
    assert len(set(names)) == len(names)
    assert quality.short_side.value == 1411
    for measurement in quality.measurements():
        assert f"{measurement.value:g}" in measurement.text


def test_every_attribute_has_a_score_and_the_worst_one_decides(take: Take, store: ImageStore) -> None:
    camera = store.open(str(take("package://skimage/data/camera.png").image.blob)).array.astype(np.uint8)
    good, flat = judged(take(camera), store), judged(take((camera // 12 + 100).astype(np.uint8)), store)
    scores = {score.name: score.value for score in flat.scores}
    assert set(scores) == {
        "readable_score", "size_score", "structure_score", "contrast_score", "sharpness_score", "noise_score",
        "highlights_score", "shadows_score", "text_score",
    }  # fmt: skip
    assert scores["readable_score"] == scores["contrast_score"] < 0.3
    assert good.scores[0].value > scores["readable_score"]
    assert all(0.0 <= score.value <= 1.0 for score in good.scores)


def test_noise_and_lost_shadows_are_named(take: Take, store: ImageStore) -> None:
    camera = store.open(str(take("package://skimage/data/camera.png").image.blob)).array.astype(np.float32)
    grain = np.random.default_rng(0).normal(0, 45, camera.shape)
    noisy = judged(take(np.clip(camera + grain, 0, 255).astype(np.uint8)), store)
    assert "very noisy" in " ".join(noisy.observations)
    framed = np.full((512, 512), 90, np.uint8)
    framed[40:470, 40:470] = np.where(camera[40:470, 40:470] < 210, 0, camera[40:470, 40:470])
    assert "under-exposed" in " ".join(judged(take(framed), store).observations)


def test_a_fundus_photograph_is_held_against_what_is_stated(take: Take, store: ImageStore) -> None:
    retina = take("package://skimage/data/retina.jpg")
    assert judged(retina, store).stated == "not stated"
    agreed = judged(retina, store, modality="fundus", body_part="eye")
    assert (agreed.verdict, agreed.stated, agreed.seen_body_part) == ("go", "agrees", "eye")
    wrong = judged(retina, store, modality="xray", body_part="chest")
    assert (wrong.verdict, wrong.stated) == ("go_with_limitation", "disagrees")
    assert wrong.observations == ("The image looks like a fundus photograph, but is stated to be: xray of the chest.",)


def test_a_photograph_of_no_medical_kind_is_not_guessed(take: Take, store: ImageStore) -> None:
    for name in ("astronaut.png", "camera.png", "coffee.png", "brick.png"):
        quality = judged(take(f"package://skimage/data/{name}"), store, modality="xray")
        assert (quality.seen, quality.stated) == ("", "cannot tell")
        assert "no kind of picture known" in quality.kind_probability.text


def test_a_chest_that_lies_wrong_is_named(data_dir: Path, take: Take, store: ImageStore) -> None:
    paths = sorted(data_dir.glob("cxr_nih_pneumonia_normal/images/*.jpg"))[:5]
    if not paths:
        pytest.skip("the sample data have no chest X-rays")
    said = {"plain": 0, "upside down": 0, "quarter to the left": 0, "quarter to the right": 0, "air is shown bright": 0}
    for path in paths:
        chest = np.asarray(PIL.Image.open(path).convert("L"))
        shown = [chest, np.rot90(chest, 2), np.rot90(chest, 1), np.rot90(chest, 3), 255 - chest]
        for words, array in zip(said, shown, strict=True):
            observed = " ".join(judged(take(np.ascontiguousarray(array)), store).observations)
            lies_wrong = [other for other in list(said)[1:] if other in observed]
            said[words] += lies_wrong == ([] if words == "plain" else [words])
    assert said["plain"] == len(paths)
    assert min(said.values()) >= len(paths) - 1


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
