"""Trains `vessels` on CHASE_DB1 and measures it there, child by child, and on DRIVE, which it never sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....card import Figure
from ....classical.fundus_vessels import field_of_view
from ....imaging.raster import without_equal_channels
from ...cards import TrainedOn
from ...framing import resampled
from ...network import Network
from ...vessels import DENSITY_ERROR, NAME, SETTINGS, framed, vessel_mask
from .. import sets
from ..augment import blurred_or_noisy, log_uniform, piece
from ..intervals import figure
from ..items import Item
from ..loop import Batch, Watch, dice_and_cross_entropy, fit
from ..nets import UNet
from ..recipe import Recipe, Scores

STEPS, BATCH, SIDE_PX = 1000, 4, 192


class VesselRecipe(Recipe):
    name = NAME
    version = "1"
    trained_on = (
        TrainedOn(
            name="CHASE_DB1",
            licence="CC BY 4.0",
            source="Kingston University, CHASE_DB1 retinal vessel reference dataset",
            citation="Fraz et al., IEEE Trans Biomed Eng 2012;59:2538-2548",
        ),
    )
    split = "whole children, both eyes together"
    settings = SETTINGS
    after_network = ("threshold", "smallest_px")
    input_shape = (2, 64, 64)

    def items(self, data: Path) -> list[Item]:
        return sets.chase(data)

    def others(self, data: Path) -> dict[str, list[Item]]:
        items = sets.drive(data)
        return {"DRIVE, training part": items} if items else {}

    def fit(self, items: Sequence[Item], seed: int, progress: Watch, device: str) -> Any:
        stacks = [_stack(item) for item in items]

        def sample_batch(rng: np.random.Generator) -> Batch:
            drawn = [_drawn(stacks[int(rng.integers(len(stacks)))], rng) for _ in range(BATCH)]
            return tuple(np.stack(parts) for parts in zip(*drawn, strict=True))

        return fit(
            UNet(2, 1, base=8, depth=3), sample_batch, dice_and_cross_entropy, steps=STEPS, lr=3e-3, seed=seed,
            progress=progress, device=device,
        )  # fmt: skip

    def score(self, network: Network, items: Sequence[Item]) -> Scores:
        rows = [_scored(network, item) for item in items]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def figures(self, scores: Scores, items: Sequence[Item], dataset: str) -> tuple[Figure, ...]:
        groups = [item.group for item in items]
        where = dataset or "CHASE_DB1, five-fold"
        found = [
            figure("Dice with the first observer", where, scores["dice"], groups),
            figure(DENSITY_ERROR, where, scores["density_error"], groups, about=("vessel_density",)),
        ]
        if not dataset:
            found.insert(1, figure("Dice of the second observer with the first", "CHASE_DB1", scores["second"], groups))
        return tuple(found)


def _opened(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def _mask(path: Path) -> NDArray[np.bool_]:
    return np.asarray(without_equal_channels(_opened(path)) > 127)


def _stack(item: Item) -> NDArray[np.float32]:
    """The network's two maps, the share of each pixel that is vessel, and the field: (4, h, w)."""
    rgb = _opened(item.files["picture"])
    part = framed(rgb, field_of_view(rgb))
    drawn = _mask(item.files["vessels"])[part.rows, part.columns].astype(np.float32)
    shape = (part.inside.shape[0], part.inside.shape[1])
    return np.concatenate([part.x, resampled(drawn[None], shape), part.inside[None].astype(np.float32)])


def _drawn(
    stack: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """One piece: maps, vessels, and the field as the weight. Contrast, brightness and sharpness vary as cameras do."""
    height, width = stack.shape[1:]
    centre = (rng.uniform(0.1, 0.9) * height, rng.uniform(0.1, 0.9) * width)
    cut = piece(stack, rng, side=SIDE_PX, scale=log_uniform(rng, 0.45, 1.2), centre=centre)
    x, vessels, inside = cut[:2], cut[2:3], (cut[3:] > 0.5).astype(np.float32)
    gain = np.array([log_uniform(rng, 0.5, 1.4), log_uniform(rng, 0.5, 2.0)], dtype=np.float32)
    shift = np.array([rng.uniform(-0.3, 0.3), rng.uniform(-1.0, 1.0)], dtype=np.float32)
    x = blurred_or_noisy(x * gain[:, None, None] + shift[:, None, None], rng, blur=1.0, noise=0.3)
    return np.clip(x, -SETTINGS["limit"], SETTINGS["limit"]) * inside, vessels, inside


def _scored(network: Network, item: Item) -> dict[str, float]:
    rgb = _opened(item.files["picture"])
    field, truth = field_of_view(rgb), _mask(item.files["vessels"])
    found = vessel_mask(rgb, field, network)
    second = _mask(item.files["second"]) if "second" in item.files else None
    return {
        "dice": _dice(found, truth),
        "density_error": 100.0 * abs(float(found.sum()) - float(truth.sum())) / float(field.sum()),
        "second": _dice(second, truth) if second is not None else float("nan"),
    }


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return 2.0 * float((a & b).sum()) / max(1.0, float(a.sum() + b.sum()))


RECIPE = VesselRecipe()
