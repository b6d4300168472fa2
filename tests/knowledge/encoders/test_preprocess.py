"""Pictures as vision models take them: against Pillow's plain way, and against transformers' own processors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from polyclinic.core.errors import InputError
from polyclinic.knowledge.encoders.folder import ModelFolder
from polyclinic.knowledge.encoders.preprocess import Preprocessing, preprocessing
from polyclinic.knowledge.store import Picture

CROPPED = {
    "size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}, "do_center_crop": True, "resample": 3,
    "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28], "rescale_factor": 1 / 255,
}  # fmt: skip
SIZES = [(1, 1), (1, 500), (500, 1), (33, 90, 3), (90, 33, 3), (200, 201), (40, 40, 3)]


def of(folder: Path, said: Any, model_type: str = "clip", name: str = "preprocessor_config.json") -> Preprocessing:
    folder.joinpath("config.json").write_text(json.dumps({"model_type": model_type}))
    folder.joinpath("model.safetensors").write_bytes(b"weights")
    folder.joinpath(name).write_text(json.dumps(said))
    return preprocessing(ModelFolder(folder))


def noise(size: tuple[int, ...]) -> Picture:
    return np.random.default_rng(1).integers(0, 256, size).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_a_picture_is_resized_cropped_and_normalised(tmp_path: Path, size: tuple[int, ...]) -> None:
    prepare, picture = of(tmp_path, CROPPED), noise(size)
    high, wide = size[:2]
    short, long = min(high, wide), max(high, wide)
    target = (40, 40 * long // short) if wide <= high else (40 * long // short, 40)
    whole = np.asarray(Image.fromarray(picture).convert("RGB").resize(target, Image.Resampling.BICUBIC))
    top, left = (whole.shape[0] - 32) // 2, (whole.shape[1] - 32) // 2
    middle = whole[top : top + 32, left : left + 32] / 255
    expected = (middle - CROPPED["image_mean"]) / CROPPED["image_std"]
    found = prepare(picture)
    assert found.dtype == np.float32
    assert found.shape == (3, 32, 32)
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), atol=1e-6)


def test_a_long_strip_is_not_blown_up_and_comes_out_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = of(tmp_path, CROPPED)
    assert prepare(noise((1, 2_000_000))).shape == (3, 32, 32)
    slope = np.linspace(0, 255, 120 * 90).reshape(120, 90).astype(np.uint8)
    whole = prepare(slope)
    monkeypatch.setattr("polyclinic.knowledge.encoders.preprocess.LARGEST", 0)
    np.testing.assert_allclose(prepare(slope), whole, atol=1.01 / 255 / 0.26)  # one grey level


@pytest.mark.parametrize(
    ("model_type", "said", "expected"),
    [
        ("clip", {"size": 224, "crop_size": 224}, (None, 224, (224, 224), 3, 0.48145466)),
        ("vit", {"size": 224}, (224, None, None, 2, 0.5)),
        ("siglip", {"size": {"height": 448, "width": 448}}, (448, None, None, 3, 0.5)),
        ("dinov3_vit", {"size": {"height": 224, "width": 224}}, (224, None, None, 2, 0.485)),
        ("dinov2", {"size": 518, "crop_size": 518, "do_normalize": False}, (None, 518, (518, 518), 3, 0)),
    ],
)  # fmt: skip
def test_what_the_file_leaves_out_is_as_its_writer_had_it(
    tmp_path: Path, model_type: str, said: Any, expected: Any
) -> None:
    found = of(tmp_path, said, model_type)
    assert (found.height or None, found.shortest, found.crop, found.resample, found.mean[0]) == expected


def test_the_settings_may_lie_in_processor_config(tmp_path: Path) -> None:
    assert of(tmp_path, {"image_processor": CROPPED}, name="processor_config.json").crop == (32, 32)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"size": {"longest_edge": 9}}, r"height and width, or with shortest_edge"),
        ({"size": 30, "crop_size": 40}, r"cuts out no more than is there"),
        ({"resample": 9}, r"a filter of Pillow's"),
        ({"do_resize": False}, r"a preprocessor that resizes"),
        ({"image_mean": [0.5]}, r"one number per colour"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, said: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        of(tmp_path, said)


def test_without_settings_there_is_no_guessing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"preprocessor_config\.json beside"):
        of(tmp_path, {}, name="other.json")


@pytest.mark.parametrize(
    ("model_type", "module", "said"),
    [
        ("clip", "clip.image_processing_pil_clip:CLIPImageProcessorPil", {**CROPPED, "do_resize": True}),
        ("clip", "clip.image_processing_pil_clip:CLIPImageProcessorPil", {}),
        ("dinov2", "bit.image_processing_pil_bit:BitImageProcessorPil", {}),
        ("siglip", "siglip.image_processing_pil_siglip:SiglipImageProcessorPil", {}),
        ("vit", "vit.image_processing_pil_vit:ViTImageProcessorPil", {}),
    ],
)
def test_pictures_are_as_transformers_makes_them(tmp_path: Path, model_type: str, module: str, said: Any) -> None:
    pytest.importorskip("torch", reason="needs torch and transformers: type python tests/experts/run.py")
    path, _, name = module.partition(":")
    theirs = getattr(pytest.importorskip(f"transformers.models.{path}"), name)(**said)
    ours = of(tmp_path, said, model_type)
    for size in [(33, 90, 3), (300, 256, 3), (224, 224, 3)]:
        picture = noise(size)
        expected = np.asarray(theirs(Image.fromarray(picture), return_tensors="np")["pixel_values"][0])
        np.testing.assert_allclose(ours(picture), expected, atol=1e-5)
