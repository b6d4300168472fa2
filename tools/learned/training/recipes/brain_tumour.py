"""Trains `brain_tumour` on slices of BRISC 2025 and measures outline and type, slice by slice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....card import Figure
from ...brain_tumour import FINDINGS, NAME, SETTINGS, TYPES, framed, look, probabilities
from ...cards import TrainedOn
from ...framing import Frame
from ...network import Network
from .. import sets
from ..augment import blurred_or_noisy, log_uniform, piece, uneven
from ..intervals import figure
from ..items import Item
from ..loop import Batch, Watch, fit, outline_and_type
from ..nets import UNet
from ..recipe import Recipe, Scores

STEPS, BATCH = 800, 8


class BrainTumourRecipe(Recipe):
    name = NAME
    version = "1"
    trained_on = (
        TrainedOn(
            name="BRISC 2025, 30 slices",
            licence="MIT",
            source="github.com/sarah-antillia/TensorFlow-FlexUNet-Image-Segmentation-BRISC2026-Brain-Tumor",
            citation="Fateh et al., arXiv:2506.14318",
        ),
    )
    split = "slices, the three types evenly over the folds"
    settings = SETTINGS
    after_network = ("threshold", "least_of_largest")
    input_shape = (1, SETTINGS["side_px"], SETTINGS["side_px"])

    def items(self, data: Path) -> list[Item]:
        return sets.tumours(data)

    def fit(self, items: Sequence[Item], seed: int, progress: Watch, device: str) -> Any:
        stacks = [_stack(item) for item in items]

        def sample_batch(rng: np.random.Generator) -> Batch:
            drawn = [_drawn(stacks[int(rng.integers(len(stacks)))], rng) for _ in range(BATCH)]
            return tuple(np.stack(parts) for parts in zip(*drawn, strict=True))

        return fit(
            UNet(1, 1 + len(TYPES), base=12, depth=4), sample_batch, outline_and_type, steps=STEPS, lr=3e-3, seed=seed,
            progress=progress, device=device,
        )  # fmt: skip

    def score(self, network: Network, items: Sequence[Item]) -> Scores:
        rows = [_scored(network, item) for item in items]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def figures(self, scores: Scores, items: Sequence[Item], dataset: str) -> tuple[Figure, ...]:
        groups, where = [item.group for item in items], "BRISC 2025, five-fold"
        kinds = np.array([TYPES.index(item.kind) for item in items])
        taken = np.stack([scores[name] for name in TYPES], axis=1).argmax(axis=1)
        commonest = int(np.bincount(kinds, minlength=len(TYPES)).argmax())
        return (
            figure("Dice, mean over slices", where, scores["dice"], groups),
            figure("Dice of the brightest region, for comparison", where, scores["brightest"], groups),
            figure("type accuracy", where, (taken == kinds).astype(float).tolist(), groups, about=FINDINGS),
            figure("accuracy of naming the commonest type", where, (kinds == commonest).astype(float).tolist(), groups),
        )

    def calibration(self, scores: Scores, items: Sequence[Item]) -> dict[str, float]:
        """The temperature under which the folds' probabilities of the true types are likeliest."""
        shares = np.stack([scores[name] for name in TYPES], axis=1)
        kinds = [TYPES.index(item.kind) for item in items]

        def surprise(temperature: float) -> float:
            given = [probabilities(row, temperature)[kind] for row, kind in zip(shares, kinds, strict=True)]
            return -float(np.log(given).mean())

        tried = np.geomspace(0.25, 8.0, 61)
        return {"temperature": round(float(min(tried, key=lambda temperature: surprise(float(temperature)))), 3)}


def _grey(path: Path) -> NDArray[np.float32]:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"), dtype=np.float32)


def _types(path: Path) -> NDArray[np.uint8]:
    """Types (H, W) from a mask in colours: 0 none, then the TYPES from 1."""
    return sets.typed(path, [sets.TUMOURS[name] for name in TYPES], sets.TUMOUR_TOLERANCE)


def _stack(item: Item) -> tuple[NDArray[np.float32], int]:
    """The network's map with the share of each pixel that is tumour (2, side, side), and the type."""
    x, _ = framed(_grey(item.files["picture"]))
    drawn = (_types(item.files["types"]) > 0).astype(np.float32)
    return np.concatenate([x, Frame.around(drawn.shape).cut(drawn[None], SETTINGS["side_px"])]), TYPES.index(item.kind)


def _drawn(
    known: tuple[NDArray[np.float32], int], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """One slice, turned, scaled and lit otherwise: map, tumour, and the type at each pixel."""
    stack, kind = known
    side = SETTINGS["side_px"]
    centre = (side * rng.uniform(0.4, 0.6), side * rng.uniform(0.4, 0.6))
    cut = piece(stack, rng, side=side, scale=log_uniform(rng, 0.8, 1.3), centre=centre)
    x = np.clip(cut[:1], 0.0, None) ** np.float32(log_uniform(rng, 0.75, 1.35))
    x = blurred_or_noisy(x * uneven(rng, side, 0.25), rng, blur=1.0, noise=0.06)
    return x, (cut[1:] > 0.5).astype(np.float32), np.full((side, side), kind, dtype=np.int64)


def _scored(network: Network, item: Item) -> dict[str, float]:
    grey, truth = _grey(item.files["picture"]), _types(item.files["types"]) > 0
    seen = look(grey, network)
    found = {"dice": _dice(seen.tumour, truth), "brightest": _dice(_brightest(grey), truth)}
    return found | {name: float(seen.types[k]) for k, name in enumerate(TYPES)}


def _brightest(grey: NDArray[np.float32]) -> NDArray[np.bool_]:
    """What a threshold finds: the largest region (H, W) of the brightest twentieth of the head's inner part."""
    from scipy import ndimage

    head = ndimage.binary_fill_holes(grey > SETTINGS["dark"] * np.percentile(grey, 99))
    inner = ndimage.binary_erosion(head, iterations=max(1, round(0.06 * max(grey.shape))))
    if not inner.any():
        return np.zeros(grey.shape, dtype=np.bool_)
    smooth = ndimage.gaussian_filter(grey, 0.006 * max(grey.shape))
    labels, _ = ndimage.label(inner & (smooth > np.percentile(smooth[inner], 95)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == int(sizes.argmax()))


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return 2.0 * float((a & b).sum()) / max(1.0, float(a.sum() + b.sum()))


RECIPE = BrainTumourRecipe()
