"""A training from pictures to weights with their card: measured fold by fold, resumed, repeated, measured again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import PIL.Image
import pytest

from polyclinic.core.canonical import sha256
from polyclinic.core.errors import InputError, SetupError
from polyclinic.tools.card import Figure
from polyclinic.tools.learned.cards import TrainedOn, read_card
from polyclinic.tools.learned.framing import channels_first, run_whole
from polyclinic.tools.learned.network import Network
from polyclinic.tools.learned.training.intervals import figure
from polyclinic.tools.learned.training.items import Item

for package in ("torch", "onnx", "onnxruntime"):
    pytest.importorskip(package, reason="needs torch and onnx: type python tests/experts/run.py")

from polyclinic.tools.learned.training.loop import Batch, Watch, dice_and_cross_entropy, fit  # noqa: E402
from polyclinic.tools.learned.training.nets import UNet  # noqa: E402
from polyclinic.tools.learned.training.recipe import Recipe, Scores, train  # noqa: E402


class Squares(Recipe):
    """Learns which pixels of a noisy picture are bright."""

    name = "squares"
    version = "1"
    trained_on = (TrainedOn(name="squares", licence="CC0 1.0", source="this test", citation="none"),)
    split = "whole groups"
    settings = MappingProxyType({"scales": [1.0, 2.0], "threshold": 0.5})
    after_network = ("threshold",)
    input_shape = (1, 16, 16)

    def __init__(self) -> None:
        self.fits: list[tuple[str, ...]] = []

    def items(self, data: Path) -> list[Item]:
        found = [Item(id=path.stem, group=path.stem[:2], files={"picture": path}) for path in data.glob("*.png")]
        if not found:
            raise InputError(expected="pictures", got="none", fix="name a folder that holds some")
        return found

    def others(self, data: Path) -> dict[str, list[Item]]:
        further = data / "further"
        return {"further squares": self.items(further)} if further.is_dir() else {}

    def fit(self, items: Sequence[Item], seed: int, progress: Watch, device: str) -> Any:
        self.fits.append(tuple(item.id for item in items))
        pictures = [_opened(item) for item in items]

        def sample_batch(rng: np.random.Generator) -> Batch:
            x = np.stack([pictures[k] for k in rng.integers(0, len(pictures), 4)])
            return x, (x > 0.5).astype(np.float32)

        return fit(
            UNet(1, 1, base=4, depth=1), sample_batch, dice_and_cross_entropy, steps=30, lr=2e-2, seed=seed,
            progress=progress, device=device,
        )  # fmt: skip

    def score(self, network: Network, items: Sequence[Item]) -> Scores:
        pictures = [_opened(item) for item in items]
        found = [run_whole(network, x, multiple=2)[0][0] > 0.0 for x in pictures]
        right = [float((mask == (x[0] > 0.5)).mean()) for mask, x in zip(found, pictures, strict=True)]
        return {"right": right, "share": [float(mask.mean()) for mask in found]}

    def figures(self, scores: Scores, items: Sequence[Item], dataset: str) -> tuple[Figure, ...]:
        return (figure("right pixels", dataset or "squares", scores["right"], [item.group for item in items]),)

    def calibration(self, scores: Scores, items: Sequence[Item]) -> dict[str, float]:
        return {"share": float(np.mean(scores["share"]))}


def _opened(item: Item) -> np.ndarray:
    return channels_first(np.asarray(PIL.Image.open(item.files["picture"])))


def draw(folder: Path, count: int, *, seed: int = 0) -> None:
    """`count` pictures, two of each group."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        picture = rng.normal(60.0, 15.0, (24, 20))
        row, column = rng.integers(0, 12, 2)
        picture[row : row + 10, column : column + 8] += 120.0
        PIL.Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{number // 2:02}-{number}.png")


@pytest.fixture
def squares() -> Squares:
    return Squares()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    draw(tmp_path / "data", 12)
    return tmp_path / "data"


def test_a_training_gives_weights_and_a_card(squares: Squares, data: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    out = tmp_path / "out"
    card = train(squares, data, out, count=3, progress=lambda what, done, of, loss: steps.append((what, done, of)))
    assert read_card(out / "squares.json") == card
    assert sha256((out / "squares.onnx").read_bytes()) == card.sha256
    assert (card.items, card.groups, card.seed) == (12, 6, 0)
    (right,) = card.figures
    assert right.n == 12
    assert right.value > 0.9
    scores = json.loads((out / "folds/scores.json").read_text())
    assert right.value == round(float(np.mean(scores["right"])), 3)
    assert card.calibration == {"share": pytest.approx(np.mean(scores["share"]))}
    assert steps[0] == ("fold 1 of 3", 1, 30)
    assert steps[-1] == ("all", 30, 30)
    assert len(steps) == 4 * 30


def test_no_network_is_measured_on_a_group_it_was_trained_on(squares: Squares, data: Path, tmp_path: Path) -> None:
    train(squares, data, tmp_path / "out", count=3)
    *folds, everything = squares.fits
    assert len(everything) == 12
    left_out = [{name[:2] for name in everything} - {name[:2] for name in trained} for trained in folds]
    assert sorted(group for groups in left_out for group in groups) == [f"{number:02}" for number in range(6)]


def test_a_killed_training_goes_on_to_the_same_end(squares: Squares, data: Path, tmp_path: Path) -> None:
    whole = train(squares, data, tmp_path / "whole", count=3)

    def kill(what: str, done: int, of: int, loss: float) -> None:
        if (what, done) == ("fold 3 of 3", 7):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(squares, data, tmp_path / "cut", count=3, progress=kill)
    before = len(squares.fits)
    resumed = train(squares, data, tmp_path / "cut", count=3)
    assert len(squares.fits) - before == 2
    assert resumed.model_copy(update={"seconds": whole.seconds}) == whole


def test_another_seed_or_other_data_trains_anew(squares: Squares, data: Path, tmp_path: Path) -> None:
    first = train(squares, data, tmp_path / "out", count=2)
    other = train(squares, data, tmp_path / "out", count=2, seed=1)
    assert other.sha256 != first.sha256
    draw(data, 12, seed=1)
    before = len(squares.fits)
    train(squares, data, tmp_path / "out", count=2, seed=1)
    assert len(squares.fits) - before == 3


def test_another_setting_trains_anew_unless_it_is_used_after_the_network_alone(
    squares: Squares, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for settings, fits in (
        ({"scales": [1.0, 2.0], "threshold": 0.5}, 3), ({"scales": (1.0, 2.0), "threshold": 0.6}, 0),
        ({"scales": [1.0, 4.0], "threshold": 0.6}, 3),
    ):  # fmt: skip
        monkeypatch.setattr(squares, "settings", settings)
        before = len(squares.fits)
        card = train(squares, data, tmp_path / "out", count=2)
        assert len(squares.fits) - before == fits
        assert card.settings["threshold"] == settings["threshold"]


def test_a_network_that_says_nothing_of_settings_stands(squares: Squares, data: Path, tmp_path: Path) -> None:
    train(squares, data, tmp_path / "out", count=2)
    for file in (tmp_path / "out").rglob("*.made.json"):
        facts = json.loads(file.read_text())
        assert facts.pop("settings") == {"scales": [1.0, 2.0]}
        file.write_text(json.dumps(facts))
    before = len(squares.fits)
    train(squares, data, tmp_path / "out", count=2)
    assert len(squares.fits) == before


def test_only_figures_trains_nothing(squares: Squares, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(SetupError, match=r"no such file; leave --only-figures out"):
        train(squares, data, out, count=2, only_figures=True)
    card = train(squares, data, out, count=2)
    before = len(squares.fits)
    assert train(squares, data, out, count=2, only_figures=True) == card
    assert len(squares.fits) == before
    with pytest.raises(SetupError, match=r"got another one"):
        train(squares, data, out, count=2, seed=5, only_figures=True)


def test_further_sets_are_measured_by_the_final_network(squares: Squares, data: Path, tmp_path: Path) -> None:
    draw(data / "further", 4, seed=9)
    card = train(squares, data, tmp_path / "out", count=2)
    assert [(figure.dataset, figure.n) for figure in card.figures] == [("squares", 12), ("further squares", 4)]
    final = Network.at(tmp_path / "out/squares.onnx")
    expected = squares.score(final, sorted(squares.items(data / "further"), key=lambda item: item.id))
    assert card.figures[1].value == round(float(np.mean(expected["right"])), 3)


def test_data_that_cannot_be_read_are_told(squares: Squares, data: Path, tmp_path: Path) -> None:
    (data / "00-0.png").write_text("no picture")
    with pytest.raises(InputError, match=r"files can all be read; got cannot identify image file .*00-0\.png"):
        train(squares, data, tmp_path / "out", count=2)
    (data / "00-0.png").unlink()
    (data / "00-0.png").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"files can all be read; got .*No such file.*00-0\.png"):
        train(squares, data, tmp_path / "out", count=2)


def test_a_data_set_of_nothing_is_told(
    squares: Squares, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(squares, "items", lambda data: [])
    with pytest.raises(InputError, match=r"got a data set of nothing"):
        train(squares, data, tmp_path / "out")


def test_data_that_are_not_there_are_told(squares: Squares, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected pictures"):
        train(squares, tmp_path, tmp_path / "out")


def test_a_device_that_is_not_there_is_told(squares: Squares, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the device cpu.*got 'abacus'; leave --device out"):
        train(squares, data, tmp_path / "out", device="abacus")


def test_a_folder_that_cannot_be_written_is_told(squares: Squares, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "folds").write_text("a file in the way")
    with pytest.raises(SetupError, match=r"expected to write .*folds"):
        train(squares, data, out, count=2)
    assert not squares.fits, "before hours of work"
