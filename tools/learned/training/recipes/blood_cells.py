"""Trains `blood_cells` on BCCD and measures it picture by picture: average precision, and the error of each count.

A picture's score holds every cell that was found, as its score where it is one of the labelled cells and as minus its
score where it is none; so average precision, chances and counts follow from the scores alone. What turns scores into
chances and chances into counts is chosen on the folds' scores; the counts on the card use what was chosen without the
picture's own part.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ....card import Detection, Figure
from ...blood_cells import COUNT_ERROR, COUNTS, LABELS, NAME, SETTINGS, expected_number, find_cells, overlaps, shrunk
from ...cards import TrainedOn
from ...network import Network
from .. import sets
from ..augment import log_uniform, piece
from ..intervals import figure, figure_of
from ..items import Item
from ..loop import Batch, Watch, fit
from ..recipe import Recipe, Scores
from ..sets import cells_in

STEPS, BATCH, SIDE_PX = 1000, 10, 160
MOST = {"RBC": 70, "WBC": 12, "platelet": 30}
"""How many cells per picture and kind are kept for the figures, surest first."""

SMALLEST_PART = 0.4
"""A cell cut by the edge of a training piece counts where this share of its box is left; below it is left out."""

SPREAD = 0.12
NEAR_MIDDLE = 0.3
PARTS = 10


class BloodCellRecipe(Recipe):
    name = NAME
    version = "1"
    trained_on = (
        TrainedOn(
            name="BCCD",
            licence="MIT",
            source="github.com/Shenggan/BCCD_Dataset",
            citation="Cheng, BCCD Dataset, 2017",
        ),
    )
    split = "pictures, two near-identical ones together"
    settings = SETTINGS
    after_network = ("floor", "least_chance", "same_cell_iou")
    input_shape = (3, 64, 64)

    def items(self, data: Path) -> list[Item]:
        return sets.blood_cells(data)

    def fit(self, items: Sequence[Item], seed: int, progress: Watch, device: str) -> Any:
        pictures = [shrunk(_opened(item.files["picture"])) for item in items]
        truths = [_scaled(_cells(item.files["boxes"]), item) for item in items]

        def sample_batch(rng: np.random.Generator) -> Batch:
            chosen = rng.integers(len(items), size=BATCH)
            drawn = [_drawn(pictures[k], truths[k], rng) for k in chosen]
            return tuple(np.stack(parts) for parts in zip(*drawn, strict=True))

        return fit(
            CellNet(), sample_batch, middles_and_reach, steps=STEPS, lr=3e-3, seed=seed, progress=progress,
            device=device,
        )  # fmt: skip

    def score(self, network: Network, items: Sequence[Item]) -> Scores:
        rows = [_scored(network, item) for item in items]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def figures(self, scores: Scores, items: Sequence[Item], dataset: str) -> tuple[Figure, ...]:
        groups, where = [item.group for item in items], "BCCD, five-fold"
        tables = {label: _table(scores, label) for label in LABELS}
        truth = {label: np.array(scores[f"{label} truth"]) for label in LABELS}
        found = [
            figure_of(
                "mean average precision at IoU 0.5", where,
                lambda index: float(
                    np.mean([average_precision(tables[label][index], truth[label][index]) for label in LABELS])
                ), groups,
            )
        ]  # fmt: skip
        for label in LABELS:
            table, number = tables[label], truth[label]

            def precision(
                index: NDArray[np.int64], table: NDArray[np.float64] = table, number: NDArray[np.float64] = number
            ) -> float:
                return average_precision(table[index], number[index])

            found.append(figure_of(f"{label} average precision at IoU 0.5", where, precision, groups))
        for label in LABELS:
            errors, constant = count_errors(label, tables[label], truth[label], groups)
            found.append(figure(COUNT_ERROR.format(label), where, errors, groups, about=(COUNTS[label],)))
            found.append(figure(f"for comparison: {label} count of the median picture", where, constant, groups))
        return tuple(found)

    def calibration(self, scores: Scores, items: Sequence[Item]) -> dict[str, float]:
        found: dict[str, float] = {}
        for label in LABELS:
            found |= calibrated(label, _table(scores, label), np.array(scores[f"{label} truth"]))
        return {name: round(value, 4) for name, value in found.items()}


class CellNet(nn.Module):  # type: ignore[misc]
    """From pictures (N, 3, H, W) logits of the kinds' middles (N, 3, H/4, W/4), and the logarithm of how far boxes
    reach left, up, right and down (N, 4, H/4, W/4). H and W are multiples of 16."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(_conv(3, 16, 2), _conv(16, 32, 2), _conv(32, 32))
        self.middle = nn.Sequential(_conv(32, 64, 2), _conv(64, 64))
        self.coarse = nn.Sequential(_conv(64, 96, 2), _conv(96, 96), _conv(96, 96), _conv(96, 64, kernel=1))
        self.join_middle = nn.Sequential(_conv(128, 64), _conv(64, 32, kernel=1))
        self.join_fine = _conv(64, 48)
        self.heat, self.reach = nn.Conv2d(48, len(LABELS), 1), nn.Conv2d(48, 4, 1)
        nn.init.constant_(self.heat.bias, -3.0)  # nearly everywhere is no middle

    def forward(self, x: Any) -> Any:
        fine = self.fine(x)
        middle = self.middle(fine)
        coarse = functional.interpolate(self.coarse(middle), scale_factor=2.0, mode="nearest")
        joined = self.join_middle(torch.cat([middle, coarse], 1))
        joined = functional.interpolate(joined, scale_factor=2.0, mode="nearest")
        joined = self.join_fine(torch.cat([fine, joined], 1))
        return self.heat(joined), self.reach(joined)


def _conv(inputs: int, outputs: int, stride: int = 1, *, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def middles_and_reach(outputs: Any, heat: Any, reach: Any, weight: Any, counts: Any) -> Any:
    """The focal loss of the middles (Law & Deng, CornerNet, ECCV 2018) and one minus the generalised IoU of the boxes
    near them (Rezatofighi et al., CVPR 2019).

    `heat` (N, 3, h, w) is 1 at middles; `reach` (N, 4, h, w) in px, `weight` (N, 1, h, w) how much a box counts,
    `counts` (N, 3, h, w) which cells of the grid count for the middles.
    """
    logits, predicted = outputs
    likely = torch.sigmoid(logits).clamp(1e-4, 1.0 - 1e-4)
    middle = (heat == 1.0).float()
    positive = torch.log(likely) * (1.0 - likely) ** 2 * middle
    negative = torch.log(1.0 - likely) * likely**2 * (1.0 - heat) ** 4 * (1.0 - middle)
    focal = -((positive + negative) * counts).sum() / (middle * counts).sum().clamp(min=1.0)
    sides = torch.exp(predicted.clamp(-4.0, 4.0)) * SETTINGS["reach_px"]
    boxes = ((1.0 - _generalised_iou(sides, reach)) * weight[:, 0]).sum() / weight.sum().clamp(min=1.0)
    return focal + 2.0 * boxes


def _generalised_iou(a: Any, b: Any) -> Any:
    """Of boxes given by how far they reach (N, 4, h, w) from the same middle."""

    def area(sides: Any) -> Any:
        return (sides[:, 0] + sides[:, 2]) * (sides[:, 1] + sides[:, 3])

    common = area(torch.minimum(a, b))
    union = area(a) + area(b) - common
    around = area(torch.maximum(a, b))
    return common / union.clamp(min=1e-3) - (around - union) / around.clamp(min=1e-3)


def _opened(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def _cells(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The labelled boxes (n, 4) in px and their kinds (n,), without empty boxes."""
    cells = cells_in(path)
    boxes = np.array([box for _, box in cells]).reshape(-1, 4)
    return boxes, np.array([LABELS.index(label) for label, _ in cells], dtype=np.int64)


def _scaled(
    cells: tuple[NDArray[np.float64], NDArray[np.int64]], item: Item
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The same boxes at the network's working length."""
    from PIL import Image

    with Image.open(item.files["picture"]) as picture:
        longest = max(picture.size)
    return cells[0] * SETTINGS["long_side_px"] / longest, cells[1]


def _drawn(
    x: NDArray[np.float32], cells: tuple[NDArray[np.float64], NDArray[np.int64]], rng: np.random.Generator
) -> tuple[NDArray[np.float32], ...]:
    """One piece of a picture, mirrored and turned by right angles at random, with other colours; and its targets."""
    boxes, kinds = cells
    height, width = x.shape[1:]
    scale = log_uniform(rng, 1.02 * SIDE_PX / min(height, width), 1.3)
    half = 0.5 * SIDE_PX / scale
    centre = rng.uniform(half, height - half), rng.uniform(half, width - half)
    cut = piece(x, rng, side=SIDE_PX, scale=scale, centre=(centre[0] - 0.5, centre[1] - 0.5), turned=False)
    moved = (boxes - np.array([centre[1], centre[0]] * 2)) * scale + SIDE_PX / 2.0
    if rng.random() < 0.5:
        cut, moved = (
            cut[:, :, ::-1],
            np.stack([SIDE_PX - moved[:, 2], moved[:, 1], SIDE_PX - moved[:, 0], moved[:, 3]], 1),
        )
    if rng.random() < 0.5:
        cut, moved = cut[:, ::-1], np.stack([moved[:, 0], SIDE_PX - moved[:, 3], moved[:, 2], SIDE_PX - moved[:, 1]], 1)
    if rng.random() < 0.5:
        cut, moved = cut.transpose(0, 2, 1), moved[:, [1, 0, 3, 2]]
    gain = log_uniform(rng, 0.8, 1.25) * np.array([log_uniform(rng, 0.92, 1.09) for _ in range(3)])
    light = np.clip(cut * gain[:, None, None].astype(np.float32), 0.0, 1.2) ** np.float32(log_uniform(rng, 0.8, 1.25))
    return np.ascontiguousarray(light, dtype=np.float32), *targets(moved, kinds)


def targets(
    boxes: NDArray[np.float64], kinds: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """What the network is to say of a piece with these boxes: middles, reach, how much boxes count, which cells of the
    grid count; see `middles_and_reach`."""
    grid = SETTINGS["grid_px"]
    size = SIDE_PX // grid
    heat = np.zeros((len(LABELS), size, size), dtype=np.float32)
    counts = np.ones_like(heat)
    reach, nearest = np.ones((4, size, size), dtype=np.float32), np.zeros((size, size), dtype=np.float32)
    middle_y, middle_x = grid * (np.indices((size, size)) + 0.5)
    for box, kind in zip(boxes, kinds, strict=True):
        seen = np.clip(box, 0.0, SIDE_PX)
        left, top, right, bottom = seen
        share = (right - left) * (bottom - top) / ((box[2] - box[0]) * (box[3] - box[1]))
        if share <= 0.0:
            continue
        if share < SMALLEST_PART:
            counts[kind, int(top // grid) : int(bottom // grid) + 1, int(left // grid) : int(right // grid) + 1] = 0.0
            continue
        row, column = (min(size - 1, int((low + high) / 2.0 / grid)) for low, high in ((top, bottom), (left, right)))
        spread_x, spread_y = (max(0.6 * grid, SPREAD * side) for side in (right - left, bottom - top))
        away = ((middle_x - middle_x[0, column]) / spread_x) ** 2 + ((middle_y - middle_y[row, 0]) / spread_y) ** 2
        near = np.exp(-0.5 * away).astype(np.float32)
        heat[kind] = np.maximum(heat[kind], near)
        own = (near > nearest) & (near > NEAR_MIDDLE)
        sides = np.stack([middle_x - left, middle_y - top, right - middle_x, bottom - middle_y])
        reach[:, own] = np.maximum(sides[:, own], 0.5)
        nearest[own] = near[own]
    counts[heat == 1.0] = 1.0
    return heat, reach, nearest[None], counts


def _scored(network: Network, item: Item) -> dict[str, float]:
    cells = find_cells(_opened(item.files["picture"]), network)
    boxes, kinds = _cells(item.files["boxes"])
    row: dict[str, float] = {}
    for kind, label in enumerate(LABELS):
        signed = signed_scores([cell for cell in cells if cell.label == label], boxes[kinds == kind])
        signed += [float("nan")] * (MOST[label] - len(signed))
        row |= {f"{label} {rank}": value for rank, value in enumerate(signed[: MOST[label]], 1)}
        row[f"{label} truth"] = float((kinds == kind).sum())
    return row


def signed_scores(cells: Sequence[Detection], truth: NDArray[np.float64]) -> list[float]:
    """The scores of one kind's cells, surest first, negative for a cell that is no labelled one: its IoU with each is
    below 0.5, or a surer cell has been matched with its best one."""
    taken: set[int] = set()
    signed = []
    for cell in sorted(cells, key=lambda cell: -cell.score):
        shared = overlaps(np.array([cell.box_px], dtype=np.float64), truth)[0] if len(truth) else np.zeros(1)
        best = int(shared.argmax())
        hit = shared[best] >= 0.5 and best not in taken
        if hit:
            taken.add(best)
        signed.append(cell.score if hit else -cell.score)
    return signed


def _table(scores: Scores, label: str) -> NDArray[np.float64]:
    """The signed scores (pictures, ranks) of one kind; NaN where there are fewer cells."""
    return np.array([scores[f"{label} {rank}"] for rank in range(1, MOST[label] + 1)]).T


def average_precision(table: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """The area under precision over recall, precision made falling, of signed scores (pictures, ranks)."""
    signed = table[~np.isnan(table)]
    signed = signed[np.argsort(-np.abs(signed), kind="stable")]
    hits = np.cumsum(signed > 0)
    if not len(signed) or not truth.sum():
        return float("nan")
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    return float((precision * (signed > 0)).sum() / truth.sum())


def calibrated(label: str, table: NDArray[np.float64], truth: NDArray[np.float64]) -> dict[str, float]:
    """The constants of one kind: Platt's slope and offset for its scores, and what its counts need."""
    slope, offset = _platt(table)
    found = {f"{label} slope": slope, f"{label} offset": offset}
    chances = _chances(table, slope, offset)
    if label != "RBC":
        return found | {f"{label} threshold": best_threshold(chances, truth)}
    line = _median_line(chances.sum(axis=1), truth)
    return found | {"RBC count offset": line[0], "RBC count slope": line[1]}


def _platt(table: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and offset of the logistic regression of being a labelled cell on the score's log odds."""
    signed = table[~np.isnan(table)]
    x = np.stack([_log_odds(np.abs(signed)), np.ones(len(signed))], axis=1)
    weights = np.zeros(2)
    for _ in range(30):
        share = 1.0 / (1.0 + np.exp(-x @ weights))
        spread = share * (1.0 - share) + 1e-6
        weights = weights + np.linalg.solve((x * spread[:, None]).T @ x, x.T @ ((signed > 0) - share))
    return float(weights[0]), float(weights[1])


def _log_odds(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    kept = np.clip(shares, 1e-4, 1.0 - 1e-4)
    return np.asarray(np.log(kept / (1.0 - kept)))


def _chances(table: NDArray[np.float64], slope: float, offset: float) -> NDArray[np.float64]:
    """Calibrated chances (pictures, ranks) of signed scores; 0 where there are fewer cells or they are too unlikely."""
    steep = slope * _log_odds(np.nan_to_num(np.abs(table))) + offset
    chances = np.where(np.isnan(table), 0.0, 1.0 / (1.0 + np.exp(-steep)))
    return np.where(chances >= SETTINGS["least_chance"], chances.round(3), 0.0)


def best_threshold(chances: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """From which chance on cells are to be counted for the smallest mean absolute error; the middle of such."""
    steps = np.arange(0.05, 0.95, 0.01).round(2)
    errors = np.array([np.abs((chances >= step).sum(axis=1) - truth).mean() for step in steps])
    smooth = np.convolve(np.pad(errors, 2, mode="edge"), np.ones(5) / 5.0, mode="valid")
    return float(np.median(steps[smooth <= smooth.min() + 1e-9]).round(2))


def _median_line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Offset and slope of the line of least absolute deviations, by reweighted least squares."""
    design = np.stack([np.ones(len(x)), x], axis=1)
    weight: NDArray[np.float64] = np.ones(len(x))
    line: NDArray[np.float64] = np.zeros(2)
    for _ in range(60):
        scaled = design * weight[:, None]
        line = np.asarray(np.linalg.solve(scaled.T @ design + np.diag([0.0, 1e-3]), scaled.T @ y), dtype=np.float64)
        weight = np.asarray(1.0 / np.maximum(np.abs(y - design @ line), 0.3))
    return float(line[0]), float(line[1])


def count_errors(
    label: str, table: NDArray[np.float64], truth: NDArray[np.float64], groups: Sequence[str]
) -> tuple[list[float], list[float]]:
    """For each picture the error of its count, and that of the median count, both chosen on the other parts."""
    names = sorted(set(groups))
    part = np.array([names.index(group) % PARTS for group in groups])
    errors, constant = np.zeros(len(truth)), np.zeros(len(truth))
    for number in range(PARTS):
        own = part == number
        if own.any():
            found = calibrated(label, table[~own], truth[~own])
            chances = _chances(table[own], found[f"{label} slope"], found[f"{label} offset"])
            errors[own] = np.abs(_counts(label, chances, found) - truth[own])
            constant[own] = np.abs(np.median(truth[~own]) - truth[own])
    return errors.tolist(), constant.tolist()


def _counts(label: str, chances: NDArray[np.float64], found: dict[str, float]) -> NDArray[np.float64]:
    if label == "RBC":
        return np.array([float(expected_number(row[row > 0].tolist(), found)) for row in chances])
    return np.asarray((chances >= found[f"{label} threshold"]).sum(axis=1), dtype=np.float64)


RECIPE = BloodCellRecipe()
