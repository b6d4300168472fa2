"""The shipped weights: each with its card, none changed; what is said where one is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from polyclinic.core.errors import SetupError
from polyclinic.tools.card import Tool
from polyclinic.tools.learned import cards, network, nuclei, vessels
from polyclinic.tools.learned.cards import WEIGHTS, figures_of, read_card, shipped_card, weights_of
from polyclinic.tools.learned.network import Network

SHIPPED = sorted(path.stem for path in WEIGHTS.glob("*.json"))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of weights, in place of the shipped one."""
    monkeypatch.setattr(cards, "WEIGHTS", tmp_path)
    monkeypatch.setattr(network, "WEIGHTS", tmp_path)
    monkeypatch.setattr(network, "_loaded", {})
    shipped_card.cache_clear()
    yield tmp_path
    shipped_card.cache_clear()


@pytest.mark.parametrize("name", SHIPPED)
def test_each_network_is_the_one_its_card_names(name: str) -> None:
    card = read_card(WEIGHTS / f"{name}.json")
    assert card.name == name
    assert Network.shipped(name) is Network.shipped(name)
    assert 1_000 < card.parameters <= 2_000_000
    assert all(figure.interval and figure.interval[0] <= figure.value <= figure.interval[1] for figure in card.figures)
    assert all(data.licence and data.citation for data in card.trained_on)


def test_all_weights_together_are_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.glob("*.onnx")) < 40e6


@pytest.mark.parametrize(("tool", "settings"), [(vessels.TOOL, vessels.SETTINGS), (nuclei.TOOL, nuclei.SETTINGS)])
def test_a_tool_feeds_its_network_as_it_was_trained(tool: Tool, settings: dict[str, object]) -> None:
    weights = tool.card.weights
    assert weights is not None
    card = shipped_card(weights.file.removesuffix(".onnx"))
    assert card.settings == settings
    assert tool.card.figures[: len(card.figures)] == card.figures  # a tool may add figures of its own checks
    assert weights.sha256 == card.sha256
    assert tool.check is not None
    tool.check()


@pytest.mark.usefixtures("elsewhere")
def test_missing_weights_leave_the_card_without_and_say_what_to_type() -> None:
    assert weights_of("vessels") is None
    assert figures_of("vessels") == ()
    with pytest.raises(SetupError, match=r"vessels\.json.*polyclinic train vessels"):
        Network.shipped("vessels")


def test_a_card_without_its_network_is_told(elsewhere: Path) -> None:
    shutil.copy(WEIGHTS / "vessels.json", elsewhere)
    with pytest.raises(SetupError, match=r"the weights vessels\.onnx; got No such file"):
        Network.shipped("vessels")


def test_one_changed_byte_is_told(elsewhere: Path) -> None:
    shutil.copy(WEIGHTS / "vessels.json", elsewhere)
    weights = bytearray((WEIGHTS / "vessels.onnx").read_bytes())
    weights[len(weights) // 2] ^= 1
    (elsewhere / "vessels.onnx").write_bytes(weights)
    with pytest.raises(SetupError, match=r"sha256 .*polyclinic train vessels"):
        Network.shipped("vessels")


def test_a_damaged_card_is_told(elsewhere: Path) -> None:
    (elsewhere / "vessels.json").write_text('{"name": "vessels"}')
    with pytest.raises(SetupError, match=r"cannot be read as one \(ValidationError\)"):
        Network.shipped("vessels")


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"no network at all"])
def test_what_is_no_network_is_told(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    path.write_bytes(content)
    with pytest.raises(SetupError, match=r"onnxruntime cannot read"):
        Network.at(path)


def test_a_network_takes_any_size_and_number_and_repeats_itself() -> None:
    shipped = Network.shipped("vessels")
    x = np.random.default_rng(0).standard_normal((2, 2, 40, 56), dtype=np.float32)
    (both,) = shipped.run(x)
    (first,) = shipped.run(x[:1])
    assert both.shape == (2, 1, 40, 56)
    np.testing.assert_allclose(both[:1], first, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(shipped.run(x[:1])[0], first)
