"""Pneumonia against no finding: both kinds of radiographs, blind to brightness, calibrated; and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import SetupError, ToolRefusedError
from polyclinic.knowledge.ontology import shipped_ontology
from polyclinic.tools.card import ImageArguments
from polyclinic.tools.imaging.store import ImageStore, TakenIn
from polyclinic.tools.learned import pneumonia
from polyclinic.tools.learned.cards import shipped_card
from polyclinic.tools.learned.lung_boxes import find_lungs
from polyclinic.tools.learned.network import Network
from polyclinic.tools.learned.pneumonia import TOOL, Pneumonia, both_ways, features, logits, probability, said

Take = Callable[..., TakenIn]
BOXES = np.array([[0.1, 0.1, 0.45, 0.8], [0.55, 0.12, 0.9, 0.82]])
CALIBRATION = {"slope": 1.5, "offset": -0.2, "absent below": 0.3, "present from": 0.7}


def run(taken: TakenIn, store: ImageStore) -> Pneumonia:
    output = TOOL.run(ImageArguments(image=str(taken.image.blob)), store)
    assert isinstance(output, Pneumonia)
    return output


@pytest.fixture(scope="module")
def folder(data_dir: Path) -> Path:
    return data_dir / "cxr_nih_pneumonia_normal" / "images"


def test_radiographs_of_both_kinds_are_told_apart(folder: Path, take: Take, store: ImageStore) -> None:
    """On pictures it was trained on: this holds the way from file to claim, not how good the model is."""
    for name, claim in (("pneumonia_00012012_007.jpg", "present"), ("no_finding_00001315_006.jpg", "absent")):
        taken = take(str(folder / name))
        found = run(taken, store).pneumonia_probability
        assert (found.finding, found.says, found.unit) == ("pneumonia", claim, "1")
        assert 0.0 <= found.value <= 1.0
        assert f"{found.value:.2f}" in found.text
        assert run(taken, store).pneumonia_probability == found


def test_its_finding_is_one_of_the_ontology() -> None:
    assert "pneumonia" in {finding.id for finding in shipped_ontology()}


def test_brightness_and_contrast_leave_the_features_as_they_are() -> None:
    grey = np.random.default_rng(0).normal(100.0, 20.0, (200, 220)).astype(np.float32)
    plain, changed = features(grey, BOXES), features(0.4 * grey + 30.0, BOXES)
    for a, b in zip(plain, changed, strict=True):
        np.testing.assert_allclose(a, b, atol=0.02)
    np.testing.assert_allclose(plain[0], features(12.0 * grey, BOXES)[0], atol=0.02)


def test_a_darker_picture_keeps_its_score(folder: Path) -> None:
    grey = np.asarray(PIL.Image.open(folder / "pneumonia_00012012_007.jpg").convert("L"), dtype=np.float32)
    boxes = find_lungs(grey, Network.shipped("lung_boxes")).boxes
    network = Network.shipped("pneumonia")
    plain, darker = logits(grey, boxes, network), logits(0.5 * grey, boxes, network)
    assert darker[0] == pytest.approx(plain[0], abs=0.05)
    assert darker[1] == pytest.approx(plain[1], abs=0.05)
    assert abs(darker[2] - plain[2]) > 0.1


def test_the_mirror_image_is_read_too() -> None:
    grey = np.random.default_rng(0).random((128, 128), dtype=np.float32)
    x = both_ways(grey, BOXES)
    turned = both_ways(np.ascontiguousarray(grey[:, ::-1]), pneumonia.mirrored(BOXES))
    np.testing.assert_allclose(turned, x[::-1], atol=1e-3)


@given(st.floats(-50.0, 50.0), st.floats(-50.0, 50.0))
def test_a_higher_logit_is_never_a_smaller_probability(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0.0 < probability(low, CALIBRATION) <= probability(high, CALIBRATION) < 1.0


@pytest.mark.parametrize(
    ("share", "claim"), [(0.0, "absent"), (0.29, "absent"), (0.3, "undecided"), (0.69, "undecided"), (0.7, "present")]
)
def test_between_two_probabilities_nothing_is_claimed(share: float, claim: str) -> None:
    assert said(share, CALIBRATION) == claim


def test_the_shipped_calibration_leaves_a_band_undecided() -> None:
    calibration = shipped_card("pneumonia").calibration
    assert 0.0 < calibration["absent below"] < calibration["present from"] < 1.0
    assert calibration["slope"] > 0.0


def test_a_card_without_calibration_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    card = shipped_card("pneumonia").model_copy(update={"calibration": {"slope": 1.0}})
    monkeypatch.setattr(pneumonia, "shipped_card", lambda name: card)
    assert TOOL.check is not None
    with pytest.raises(SetupError, match=r"without 'offset'; type: polyclinic train pneumonia"):
        TOOL.check()


def test_what_is_no_chest_is_refused(take: Take, store: ImageStore) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 300)).astype(np.uint8)
    with pytest.raises(ToolRefusedError, match="frontal chest radiograph"):
        run(take(noise), store)
