"""What a recipe says, and how one is carried out: folds, the final fit, the export, the card. It knows no tool.

A fold's network is kept in OUT/folds as soon as it is trained, so that a training that was ended goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

from ....core.canonical import digest, sha256
from ....core.errors import InputError, SetupError
from ....core.whole import write_whole
from ...card import Figure
from ..cards import TrainedCard, TrainedOn
from ..network import Network
from .export import check_writable, to_onnx
from .items import Fold, Item, folds
from .loop import Watch, check_device, prepare
from .nets import parameters

Scores: TypeAlias = dict[str, list[float]]
"""By name, one number per item, in the order of the items; NaN where an item has no such number."""

Progress: TypeAlias = Callable[[str, int, int, float], None]
"""Told after each step: which fit, steps done, steps in all, the loss."""


class Recipe(Protocol):
    """How one network is made. `name` is the tool module's and the weights'; `version` goes up when `fit` changes.

    `settings` are the constants of the tool's steps before and after the network, those `after_network` of the later
    ones alone: changing one of them trains nothing again. `input_shape` is the (C, H, W) of one input.
    """

    name: str
    version: str
    trained_on: tuple[TrainedOn, ...]
    split: str
    settings: Mapping[str, Any]
    after_network: tuple[str, ...] = ()
    input_shape: tuple[int, int, int]

    def items(self, data: Path) -> list[Item]:
        """What is trained on. Raises InputError saying which folder was expected."""

    def others(self, data: Path) -> dict[str, list[Item]]:
        """Further data sets the final network is measured on, by name; those that are not there are left out."""
        return {}

    def fit(self, items: Sequence[Item], seed: int, progress: Watch, device: str) -> Any:
        """A torch module trained on `items`."""

    def score(self, network: Network, items: Sequence[Item]) -> Scores:
        """Numbers per item, computed by the tool's own steps before and after the network."""

    def figures(self, scores: Scores, items: Sequence[Item], dataset: str) -> tuple[Figure, ...]:
        """The figures of the card; `dataset` is "" for the folds, else a name from `others`."""

    def calibration(self, scores: Scores, items: Sequence[Item]) -> dict[str, float]:
        """Constants that turn outputs into probabilities, from the folds' scores."""
        return {}


@contextmanager
def _reading() -> Iterator[None]:
    """Tell of files of the data set that are missing or cannot be read as what they are."""
    try:
        yield
    except BrokenPipeError:  # who watched the progress has gone
        raise
    except OSError as error:
        raise InputError(
            expected="a data set whose files can all be read", got=str(error), fix="restore what is missing or damaged"
        ) from error


@_reading()
def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    count: int = 5,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    only_figures: bool = False,
    progress: Progress = lambda fit, done, steps, loss: None,
) -> TrainedCard:
    """Cross-validate, fit on everything, and write OUT/NAME.onnx and OUT/NAME.json, its card.

    With `only_figures` nothing is trained: the networks in OUT are measured again. Raises InputError for data, a
    device or a number of folds that cannot be used, SetupError where a network is missing or cannot be written.
    """
    check_device(device)
    check_writable(out / "folds")
    items = sorted(recipe.items(data), key=lambda item: item.id)
    if not items:
        raise InputError(
            expected="something to train on", got=f"a data set of nothing in {str(data)!r}", fix="check --data"
        )
    work = _Work(recipe, out, seed=seed, device=device, threads=threads, only_figures=only_figures, progress=progress)
    rows: dict[str, dict[str, float]] = {}
    for fold in folds(items, count, seed):
        path = work.fitted(f"folds/{fold.number}-of-{count}", fold.train, f"fold {fold.number} of {count}")
        rows |= _by_item(recipe.score(Network.at(path), fold.test), fold)
    scores = {name: [rows[item.id][name] for item in items] for name in rows[items[0].id]}
    path = work.fitted(recipe.name, items, "all")
    figures = list(recipe.figures(scores, items, ""))
    for dataset, unsorted in sorted(recipe.others(data).items()):
        others = sorted(unsorted, key=lambda item: item.id)
        figures += recipe.figures(recipe.score(Network.at(path), others), others, dataset)
    facts = json.loads(_facts_of(path).read_text())
    card = TrainedCard(
        name=recipe.name,
        version=recipe.version,
        sha256=sha256(path.read_bytes()),
        parameters=facts["parameters"],
        recipe=f"polyclinic train {recipe.name} --data DIR --out DIR" + (f" --seed {seed}" if seed else ""),
        seed=seed,
        trained_on=recipe.trained_on,
        split=f"{count} folds; {recipe.split}",
        items=len(items),
        groups=len({item.group for item in items}),
        figures=tuple(figures),
        settings=dict(recipe.settings),
        calibration=recipe.calibration(scores, items),
        made_with=facts["made_with"],
        seconds=round(work.seconds),
    )
    write_whole(out / f"{recipe.name}.json", (card.model_dump_json(indent=2) + "\n").encode())
    listed = {"items": [item.id for item in items], **scores}
    write_whole(out / "folds" / "scores.json", json.dumps(listed, indent=1).encode())
    return card


class _Work:
    """Fits of one training, each kept with what it was made from."""

    def __init__(
        self, recipe: Recipe, out: Path, *, seed: int, device: str, threads: int, only_figures: bool, progress: Progress
    ) -> None:
        self._recipe, self._out, self._seed = recipe, out, seed
        self._device, self._threads = device, threads
        self._only_figures, self._progress = only_figures, progress
        self._contents: dict[str, dict[str, str]] = {}
        self.seconds = 0.0
        """How long the fits took, also those of earlier calls."""

    def fitted(self, place: str, items: Sequence[Item], what: str) -> Path:
        """The network of `items` at OUT/`place`.onnx, trained where it is not there yet or was made otherwise."""
        path = self._out / f"{place}.onnx"
        made_from = digest([self._recipe.name, self._recipe.version, self._seed, [self._named(item) for item in items]])
        known = _read_facts(path)
        settings = self._settings()
        # a network that says nothing of its settings stands
        if known.get("made_from") != made_from or known.get("settings", settings) != settings:
            if self._only_figures:
                raise SetupError(
                    expected=f"the network {path}, trained by this recipe with this seed, these folds and settings",
                    got="another one" if known else "no such file",
                    fix="leave --only-figures out",
                )
            known = self._fit(path, items, what) | {"made_from": made_from, "settings": settings}
            write_whole(_facts_of(path), json.dumps(known, indent=1).encode())
        self.seconds += float(known["seconds"])
        return path

    def _settings(self) -> dict[str, Any]:
        """The settings that a network depends on, as JSON gives them back."""
        before = {
            name: value for name, value in self._recipe.settings.items() if name not in self._recipe.after_network
        }
        return cast("dict[str, Any]", json.loads(json.dumps(before)))

    def _named(self, item: Item) -> list[Any]:
        """An item by its name and by what its files hold."""
        if item.id not in self._contents:
            self._contents[item.id] = {role: sha256(path.read_bytes()) for role, path in sorted(item.files.items())}
        return [item.id, item.kind, dict(item.facts), self._contents[item.id]]

    def _fit(self, path: Path, items: Sequence[Item], what: str) -> dict[str, Any]:
        began = time.monotonic()
        prepare(self._seed, threads=self._threads)
        module = self._recipe.fit(items, self._seed, partial(self._progress, what), self._device)
        to_onnx(module, self._recipe.input_shape, path)
        made_with = {package: version(package) for package in ("numpy", "onnx", "onnxruntime", "torch")}
        return {
            "parameters": parameters(module),
            "seconds": round(time.monotonic() - began, 1),
            "made_with": made_with | {"device": self._device},
        }


def _by_item(scores: Scores, fold: Fold) -> dict[str, dict[str, float]]:
    """Scores turned round: for each item of the fold its numbers by name."""
    return {item.id: {name: scores[name][k] for name in scores} for k, item in enumerate(fold.test)}


def _facts_of(path: Path) -> Path:
    """Where it is kept what the network `path` was made from; the final one's card has its name."""
    return path.parent / f"{path.stem}.made.json"


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(_facts_of(path).read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) and path.is_file() else {}
