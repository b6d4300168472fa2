"""Fits `pneumonia` on ChestX-ray8 pictures with that label and without a finding, and measures it patient by patient.

Beside the model two others are fitted in the same folds, to show what it lives off: one that sees the lungs alone, and
one that sees brightness alone, a short cut. Logistic regressions with a ridge penalty, solved in their dual form.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....card import Figure
from ... import lung_boxes
from ...cards import TrainedOn
from ...lung_boxes import find_lungs
from ...network import Network
from ...pneumonia import NAME, SETTINGS, both_ways, brightness, features, logits, probability, said
from .. import sets
from ..intervals import figure, figure_of
from ..items import Item
from ..loop import Watch
from ..recipe import Recipe, Scores

PENALTY = 0.1
BRIGHTNESS_PENALTY = 1.0
PARTS = 10
RIGHT_WHERE_SURE = 0.9
LIKE_BRIGHTNESS = 10.0
"""Pictures of like brightness differ by less than this in their mean, of 255."""

BINS = 5
_SIDE = np.zeros((64, 64), dtype=np.float32)
_BOXES = np.array([[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]])


def _sizes() -> tuple[int, int, int]:
    """How many features are of the lungs, of the whole picture, and of brightness."""
    lungs, whole = features(_SIDE, _BOXES)
    return len(lungs), len(whole), len(brightness(_SIDE))


class PneumoniaRecipe(Recipe):
    name = NAME
    version = "1"
    trained_on = (
        TrainedOn(
            name="ChestX-ray8, 111 pictures with the label pneumonia or no finding",
            licence="no restrictions on use (NIH Clinical Center)",
            source="github.com/muhammedtalo/COVID-19",
            citation="Wang et al., CVPR 2017:2097-2106",
        ),
    )
    split = "whole patients, both labels evenly over the folds"
    settings = SETTINGS
    input_shape = (1, 1, sum(_sizes()))

    def items(self, data: Path) -> list[Item]:
        return sets.chests(data)

    def fit(self, items: Sequence[Item], seed: int, progress: Watch, device: str) -> Any:
        rows = []
        for done, item in enumerate(items, 1):
            rows.append(_seen(item))
            progress(done, len(items), 0.0)
        x = np.concatenate(rows).astype(np.float64)  # each picture, then its mirror image
        y = np.repeat([float(item.kind == "pneumonia") for item in items], 2)
        lungs, whole, light = _parts()
        return _module(
            _logistic(x, y, (lungs, whole), 2.0 * PENALTY),
            _logistic(x, y, (lungs,), 2.0 * PENALTY),
            _logistic(x, y, (light,), 2.0 * BRIGHTNESS_PENALTY),
        )

    def score(self, network: Network, items: Sequence[Item]) -> Scores:
        rows = [(*logits(grey, _lungs(grey), network), float(grey.mean())) for grey in map(_grey, items)]
        return {name: [row[k] for row in rows] for k, name in enumerate(("model", "lungs", "brightness", "mean"))}

    def figures(self, scores: Scores, items: Sequence[Item], dataset: str) -> tuple[Figure, ...]:
        where = "ChestX-ray8 sample, five-fold by patient"
        groups, truth = [item.group for item in items], _truth(items)
        values = {name: np.array(scores[name]) for name in scores}
        probabilities, right = cross_fitted(values["model"], truth, groups)

        def ranked(name: str) -> Any:
            return lambda index: auroc(values[name][index], truth[index])

        def alike(name: str) -> Any:
            return lambda index: auroc(values[name][index], truth[index], values["mean"][index])

        return (
            figure_of(
                "AUROC of pneumonia against no finding", where, ranked("model"), groups, about=("pneumonia",)
            ),
            figure_of("AUROC among pairs of like brightness", where, alike("model"), groups),
            figure_of("for comparison: AUROC of a model that sees the lungs alone", where, ranked("lungs"), groups),
            figure_of("for comparison: AUROC of brightness alone (a short cut)", where, ranked("brightness"), groups),
            figure_of("for comparison: the same among pairs of like brightness", where, alike("brightness"), groups),
            figure_of(
                f"expected calibration error, {BINS} bins", where,
                lambda index: calibration_error(probabilities[index], truth[index]), groups,
            ),
            figure("share of pictures it decides", where, (~np.isnan(right)).astype(float).tolist(), groups),
            figure("accuracy where it decides", where, right.tolist(), groups),
        )  # fmt: skip

    def calibration(self, scores: Scores, items: Sequence[Item]) -> dict[str, float]:
        return calibrated(np.array(scores["model"]), _truth(items))


def _truth(items: Sequence[Item]) -> NDArray[np.float64]:
    return np.array([float(item.kind == "pneumonia") for item in items])


def _parts() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The indices of the features of the lungs, of the whole picture, and of brightness."""
    lungs, whole, light = np.split(np.arange(sum(_sizes())), np.cumsum(_sizes())[:2])
    return lungs, whole, light


def _grey(item: Item) -> NDArray[np.float32]:
    from PIL import Image

    with Image.open(item.files["picture"]) as picture:
        return np.asarray(picture.convert("L"), dtype=np.float32)


def _lungs(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    return find_lungs(grey, Network.shipped(lung_boxes.NAME)).boxes


def _seen(item: Item) -> NDArray[np.float32]:
    grey = _grey(item)
    return both_ways(grey, _lungs(grey))


def _logistic(
    x: NDArray[np.float64], y: NDArray[np.float64], blocks: Sequence[NDArray[np.int64]], penalty: float
) -> tuple[NDArray[np.float64], float]:
    """Weights (F,) on raw features and offset of the regression that sees `blocks` alone; each block counts alike."""
    scale = np.zeros(x.shape[1])
    middle = x.mean(axis=0)
    for block in blocks:
        scale[block] = 1.0 / ((x[:, block].std(axis=0) + 1e-6) * np.sqrt(len(block)))
    standard = (x - middle) * scale
    dual, offset = _newton(standard @ standard.T, y, penalty)
    weights = scale * (standard.T @ dual)
    return weights, offset - float(middle @ weights)


def _newton(kernel: NDArray[np.float64], y: NDArray[np.float64], penalty: float) -> tuple[NDArray[np.float64], float]:
    """The dual weights (n,) and offset of a logistic regression with a ridge penalty, by reweighted least squares."""
    count = len(y)
    dual, offset = np.zeros(count), 0.0
    for _ in range(25):
        found = kernel @ dual + offset
        share = 1.0 / (1.0 + np.exp(-np.clip(found, -30.0, 30.0)))
        weight = np.clip(share * (1.0 - share), 1e-4, None)
        system = np.ones((count + 1, count + 1))
        system[:count, :count] = kernel + penalty * np.diag(1.0 / weight)
        system[count, count] = 0.0
        solved = np.linalg.solve(system, np.append(found + (y - share) / weight, 0.0))
        dual, offset = solved[:count], float(solved[count])
    return dual, offset


def _module(*regressions: tuple[NDArray[np.float64], float]) -> Any:
    """The regressions as one torch module: features (N, 1, 1, F) to logits (N, one each)."""
    import torch

    class Logits(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(sum(_sizes()), len(regressions))
            self.linear.weight.data = torch.from_numpy(np.stack([w for w, _ in regressions]).astype(np.float32))
            self.linear.bias.data = torch.from_numpy(np.array([b for _, b in regressions], dtype=np.float32))

        def forward(self, x: Any) -> Any:
            return self.linear(x.flatten(1))

    return Logits().eval()


def auroc(scores: NDArray[np.float64], truth: NDArray[np.float64], mean: NDArray[np.float64] | None = None) -> float:
    """The share of pairs in which the one with pneumonia scores higher; of pairs of like `mean` brightness only."""
    sick, well = truth == 1.0, truth == 0.0
    higher = np.sign(scores[sick][:, None] - scores[well][None, :]) / 2.0 + 0.5
    counted = np.ones_like(higher, dtype=bool)
    if mean is not None:
        counted = np.abs(mean[sick][:, None] - mean[well][None, :]) < LIKE_BRIGHTNESS
    return float(higher[counted].mean()) if counted.any() else float("nan")


def calibrated(scores: NDArray[np.float64], truth: NDArray[np.float64]) -> dict[str, float]:
    """Platt's slope and offset, and the probabilities between which nothing is claimed: above, nine in ten pictures
    without a finding are left out; below, nine in ten pictures with pneumonia."""
    spread = float(scores.std()) + 1e-9
    x = (scores - scores.mean())[:, None] / spread
    dual, offset = _newton(x @ x.T, truth, 0.01)
    slope = float((x.T @ dual)[0]) / spread
    found = {"slope": slope, "offset": offset - slope * float(scores.mean())}
    shares = np.array([probability(score, found) for score in scores])
    present = float(np.quantile(shares[truth == 0.0], RIGHT_WHERE_SURE))
    absent = float(np.quantile(shares[truth == 1.0], 1.0 - RIGHT_WHERE_SURE))
    bounds = {"absent below": round(min(absent, present), 2), "present from": round(max(absent, present), 2)}
    return {name: round(value, 4) for name, value in found.items()} | bounds


def cross_fitted(
    scores: NDArray[np.float64], truth: NDArray[np.float64], groups: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each picture its probability, and whether what is claimed is right (NaN where nothing is), by a calibration
    on the other parts."""
    names = sorted(set(groups))
    part = np.array([names.index(group) % PARTS for group in groups])
    shares, right = np.zeros(len(truth)), np.full(len(truth), np.nan)
    for number in range(PARTS):
        others = calibrated(scores[part != number], truth[part != number])
        for k in np.flatnonzero(part == number):
            shares[k] = round(probability(scores[k], others), 2)
            claim = said(shares[k], others)
            if claim != "undecided":
                right[k] = float((claim == "present") == (truth[k] == 1.0))
    return shares, right


def calibration_error(shares: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """The mean distance of what is said from what is so, over bins of equally many pictures."""
    order = np.argsort(shares, kind="stable")
    bins = np.array_split(order, BINS)
    return float(sum(abs(shares[own].mean() - truth[own].mean()) * len(own) for own in bins) / len(truth))


RECIPE = PneumoniaRecipe()
