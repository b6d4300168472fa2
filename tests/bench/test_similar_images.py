"""bench/similar_images.py: its measures by hand, and a whole run over a few drawn pictures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def similar(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("similar_images")


def draw(path: Path, seed: int, colour: tuple[int, int, int] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    if colour is not None:
        pixels[:] = colour
    Image.fromarray(pixels).save(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Every set with two pictures of two classes."""
    for seed in range(2):
        for name in ("benign", "normal"):
            draw(tmp_path / "us_breast_busi_cls" / name / f"{seed}.png", 10 + seed)
            draw(tmp_path / "cxr_nih_pneumonia_normal" / "images" / f"{name}_0000000{seed}_000.png", 20 + seed)
            draw(tmp_path / "cxr_nih1000_64px" / "train" / name / f"0000000{seed}_000.png", 30 + seed)
        for number, colour in enumerate([(255, 255, 0), (0, 255, 255)]):
            draw(tmp_path / "mri_brisc_seg" / "images" / f"{number}{seed}.png", 40 + seed)
            draw(tmp_path / "mri_brisc_seg" / "masks" / f"{number}{seed}.png", 0, colour)
    return tmp_path


def test_a_picture_asks_for_others_of_its_class(similar: ModuleType) -> None:
    closeness = np.array([[1, 0.9, 0.1], [0.9, 1, 0.2], [0.1, 0.2, 1]])
    labels = np.array(["a", "a", "b"])
    found = similar.hits(closeness, labels, np.eye(3, dtype=bool))
    assert found[:, 0].tolist() == [True, True, False]
    barred = np.eye(3, dtype=bool)
    barred[0, 1] = True
    assert similar.hits(closeness, labels, barred)[:, 0].tolist() == [False, True, False]


def test_classes_count_alike_however_many_pictures_they_have(similar: ModuleType) -> None:
    values, labels = np.array([1.0, 1, 1, 0]), np.array(["a", "a", "a", "b"])
    assert similar.balanced(values, labels, np.random.default_rng(0)) == "0.500 [0.500, 0.500]"


def test_a_whole_run(
    similar: ModuleType, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["similar_images", "--data", str(data)])
    similar.main()
    said = capsys.readouterr().out
    for title in similar.SETS:
        assert f"{title}: " in said
    assert "brain tumour: 4 pictures, 2 classes, chance 0.500" in said
    assert said.count("  radiomics ") == len(similar.SETS) + 2
