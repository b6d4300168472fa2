"""The kind as seen: the rules before and after the classifier, its numbers, and what was stated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polyclinic.core.canonical import sha256
from polyclinic.core.case import Modality
from polyclinic.core.errors import SetupError
from polyclinic.tools.gate import kind
from polyclinic.tools.gate.kind import (
    KINDS,
    POSES,
    Against,
    against_stated,
    allowed_by_colour,
    look,
    round_field,
    shipped,
)


@pytest.mark.parametrize(
    ("seen", "modality", "part", "expected"),
    [
        ("chest_xray", "xray", "chest", "agrees"),
        ("chest_xray", "xray", None, "agrees"),
        ("chest_xray", None, "Chest", "agrees"),
        ("chest_xray", "ct", "chest", "disagrees"),
        ("chest_xray", "xray", "head", "disagrees"),
        ("chest_xray", "xray", "left wrist", "cannot tell"),
        ("chest_xray", None, None, "not stated"),
        ("", None, None, "not stated"),
        ("", "xray", "chest", "cannot tell"),
        ("trunk_ct", "ct", "liver", "agrees"),
        ("trunk_ct", "ct", "head", "disagrees"),
        ("blood_smear", "microscopy", None, "agrees"),
        ("fluorescence", "histology", None, "disagrees"),
        ("histology", "histology", "skin", "agrees"),
    ],
)
def test_what_is_seen_against_what_is_stated(
    seen: str, modality: Modality | None, part: str | None, expected: Against
) -> None:
    assert against_stated(seen, modality, part) == expected


def test_the_shipped_numbers_fit_together() -> None:
    model = shipped()
    count, components = model.weights.shape
    assert {name.partition("/")[0] for name in model.classes} == set(KINDS)
    assert {f"chest_xray/{pose}" for pose in POSES} <= set(model.classes)
    assert model.centres.shape == (count, components - 1)
    assert np.allclose(model.axes @ model.axes.T, np.eye(components - 1), atol=1e-2)
    assert (model.limits > 0).all()
    assert kind.WEIGHTS.stat().st_size < 200_000


def test_colour_bars_kinds_before_they_are_weighed() -> None:
    names = tuple(KINDS)
    grey = dict(zip(names, allowed_by_colour(0.0, names), strict=True))
    vivid = dict(zip(names, allowed_by_colour(60.0, names), strict=True))
    assert not grey["histology"]
    assert grey["chest_xray"]
    assert vivid["fundus"]
    assert not vivid["head_mr"]
    assert all(allowed_by_colour(10.0, names))


def test_a_full_circle_is_a_camera_field_and_a_rectangle_is_not() -> None:
    down, across = np.ogrid[:300, :300]
    circle = np.where((down - 150) ** 2 + (across - 150) ** 2 < 140**2, 160, 0).astype(np.uint8)
    assert round_field(circle)
    assert not round_field(np.full((300, 300), 160, np.uint8))
    assert not round_field(circle[:, 60:])
    assert not round_field(np.zeros((300, 300), np.uint8))


def test_noise_and_even_tones_are_like_nothing_known() -> None:
    generator = np.random.default_rng(0)
    for picture in (generator.integers(0, 256, (200, 200), dtype=np.uint8), np.full((90, 90, 3), 120, np.uint8)):
        found = look(picture)
        assert found.kind == ""
        assert 0.0 <= found.probability <= 1.0


def test_missing_or_damaged_numbers_are_a_matter_of_setting_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = kind.WEIGHTS.read_bytes()
    changed = bytes([*whole[:-1], whole[-1] ^ 1])
    monkeypatch.setattr(kind, "WEIGHTS", tmp_path / "numbers.npz")
    shipped.cache_clear()
    try:
        for data, got in ((None, "No such file"), (whole[:5000], sha256(whole[:5000])), (changed, sha256(changed))):
            if data is not None:
                kind.WEIGHTS.write_bytes(data)
            with pytest.raises(SetupError, match=rf"got {got}.*pip install --force-reinstall polyclinic"):
                shipped()
    finally:
        shipped.cache_clear()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("cxr_covid_boxes_permissive/images/*.jpg", "chest_xray"),
        ("fundus_drive/training/images/*.png", "fundus"),
        ("bccd_blood/JPEGImages/*.jpg", "blood_smear"),
        ("us_breast_busi_cls/benign/*.png", "breast_ultrasound"),
        ("endo_kvasirseg/images/*.jpg", ""),
    ],
)
def test_pictures_of_the_public_sets(pattern: str, expected: str, data_dir: Path) -> None:
    from PIL import Image

    paths = sorted(data_dir.glob(pattern))[:6]
    if not paths:
        pytest.skip(f"the sample data have no {pattern}")
    kinds = [look(np.asarray(Image.open(path).convert("RGB"))).kind for path in paths]
    assert kinds.count(expected) >= len(paths) - 1
    assert set(kinds) <= {expected, ""}
