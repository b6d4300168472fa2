"""Trains `haemorrhage` on CT slices of BHSD and measures outline and type, volume by volume.

Bleeds of other training slices are pasted into the brain at random places: 23 slices show too few.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....card import Figure
from ...cards import TrainedOn
from ...haemorrhage import NAME, SETTINGS, TYPES, brain_mask, framed, look
from ...network import Network
from .. import sets
from ..augment import blurred_or_noisy, log_uniform, piece
from ..intervals import figure, figure_of
from ..items import Item
from ..loop import Batch, Watch, fit, outline_and_type
from ..nets import UNet
from ..recipe import Recipe, Scores

STEPS, BATCH = 600, 6
PASTED = 0.5
_INSIDE = [TYPES.index(name) + 1 for name in ("intraparenchymal", "intraventricular", "subarachnoid")]
"""Types that may be pasted anywhere in the brain; the others lie along the skull."""


class HaemorrhageRecipe(Recipe):
    name = NAME
    version = "1"
    trained_on = (
        TrainedOn(
            name="BHSD, 23 slices",
            licence="MIT",
            source="github.com/sarah-antillia/TensorFlow-FlexUNet-Image-Segmentation-Multiclass-Brain-Hemorrhage",
            citation="Wu et al., MLMI 2023",
        ),
    )
    split = "whole volumes, told by the first three characters of a slice's name"
    settings = SETTINGS
    after_network = ("threshold", "smallest_px", "least_of_type")
    input_shape = (3, SETTINGS["side_px"], SETTINGS["side_px"])

    def items(self, data: Path) -> list[Item]:
        return sets.haemorrhages(data)

    def fit(self, items: Sequence[Item], seed: int, progress: Watch, device: str) -> Any:
        stacks = [_stack(item) for item in items]

        def sample_batch(rng: np.random.Generator) -> Batch:
            drawn = [_drawn(stacks, rng) for _ in range(BATCH)]
            return tuple(np.stack(parts) for parts in zip(*drawn, strict=True))

        return fit(
            UNet(3, 1 + len(TYPES), base=12, depth=4), sample_batch, outline_and_type, steps=STEPS, lr=3e-3, seed=seed,
            progress=progress, device=device,
        )  # fmt: skip

    def score(self, network: Network, items: Sequence[Item]) -> Scores:
        rows = [_scored(network, item) for item in items]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def figures(self, scores: Scores, items: Sequence[Item], dataset: str) -> tuple[Figure, ...]:
        groups, where = [item.group for item in items], "BHSD, five-fold by volume"
        both, found, true = (np.array(scores[name]) for name in ("both", "found", "true"))

        def pooled(index: NDArray[np.int64]) -> float:
            return float(2.0 * both[index].sum() / max(1.0, (found[index] + true[index]).sum()))

        return (
            figure("Dice, mean over slices", where, scores["dice"], groups),
            figure_of("Dice of all slices' pixels together", where, pooled, groups),
            figure("Dice of a threshold, for comparison", where, scores["threshold"], groups),
            figure("main type right", where, scores["type_right"], groups),
            figure("main type right by naming intraparenchymal", where, scores["commonest_right"], groups),
        )


def _values(path: Path) -> NDArray[np.float32]:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"), dtype=np.float32)


def _types(path: Path) -> NDArray[np.uint8]:
    """Types (H, W) from a mask in colours: 0 none, then the TYPES from 1."""
    return sets.typed(path, [sets.BLEEDS[name] for name in TYPES], sets.BLEED_TOLERANCE)


def _stack(item: Item) -> NDArray[np.float32]:
    """The network's three maps, then for each type the share of each pixel that is it: (3 + 5, side, side)."""
    part = framed(_values(item.files["picture"]))
    if part is None:
        raise ValueError(f"a head on {item.files['picture']}")
    types = _types(item.files["types"])
    each = np.stack([types == number for number in range(1, len(TYPES) + 1)]).astype(np.float32)
    return np.concatenate([part.x, part.frame.cut(each, SETTINGS["side_px"])])


def _drawn(
    stacks: Sequence[NDArray[np.float32]], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """One slice, leant, scaled and noisy, with a bleed pasted in at times: maps, blood, type at each pixel."""
    side = SETTINGS["side_px"]
    stack = stacks[int(rng.integers(len(stacks)))]
    if rng.random() < PASTED:
        stack = _with_paste(stack, stacks[int(rng.integers(len(stacks)))], rng)
    lean = rng.uniform(-0.6, 0.6)
    centre = (side * rng.uniform(0.44, 0.56), side * rng.uniform(0.44, 0.56))
    cut = piece(stack, rng, side=side, scale=log_uniform(rng, 0.85, 1.2), centre=centre, angle=lean)
    x, each = cut[:3], cut[3:]
    middle = np.float32(SETTINGS["darkest_against_hu"] / SETTINGS["step_hu"])
    light = (
        middle + (x[:1] - middle) * np.float32(log_uniform(rng, 0.8, 1.25)) + np.float32(0.15 * rng.standard_normal())
    )
    x[:1] = np.maximum(blurred_or_noisy(light, rng, blur=1.0, noise=0.25), 0.0)
    return x, (each.sum(axis=0, keepdims=True) > 0.5).astype(np.float32), each.argmax(axis=0).astype(np.int64)


def _with_paste(
    stack: NDArray[np.float32], other: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """`stack` with the blood of `other`, turned and scaled, where brain without blood is."""
    side = SETTINGS["side_px"]
    centre = (side * rng.uniform(0.3, 0.7), side * rng.uniform(0.3, 0.7))
    turned = piece(other, rng, side=side, scale=log_uniform(rng, 0.7, 1.5), centre=centre)
    pasted = turned[3:][[number - 1 for number in _INSIDE]].sum(axis=0) > 0.5
    pasted &= (stack[2] > 0.9) & (stack[3:].sum(axis=0) < 0.1) & (stack[1] < 0.35)
    if not pasted.any():
        return stack
    from scipy import ndimage

    soft = ndimage.uniform_filter(pasted.astype(np.float32), 3)
    mixed = stack.copy()
    mixed[:2] += soft * (turned[:2] - stack[:2])
    mixed[3:] = np.where(pasted, turned[3:], stack[3:])
    return mixed


def _scored(network: Network, item: Item) -> dict[str, float]:
    values, types = _values(item.files["picture"]), _types(item.files["types"])
    seen = look(values, network)
    found = np.zeros_like(types) if seen is None else seen.types
    blood, truth = found > 0, types > 0
    kind, main = (_main(each) for each in (found, types))
    return {
        "dice": _dice(blood, truth),
        "both": float((blood & truth).sum()),
        "found": float(blood.sum()),
        "true": float(truth.sum()),
        "threshold": _dice(_bright(values), truth),
        "type_right": float(kind == main),
        "commonest_right": float(main == TYPES.index("intraparenchymal") + 1),
    }


def _main(types: NDArray[np.uint8]) -> int:
    """The type most pixels are of, from 1; 0 without any."""
    amounts = np.bincount(types.ravel(), minlength=len(TYPES) + 1)[1:]
    return 1 + int(amounts.argmax()) if amounts.any() else 0


def _bright(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """What a threshold finds (H, W): smooth regions of the brain more than 20 HU above its median."""
    from scipy import ndimage

    brain = brain_mask(values)
    if not brain.any():
        return brain
    inner = ndimage.binary_erosion(brain, iterations=3)
    smooth = ndimage.gaussian_filter(values, 1.5)
    return np.asarray(ndimage.binary_opening(inner & (smooth > np.median(values[brain]) + 20.0), iterations=2))


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return 2.0 * float((a & b).sum()) / max(1.0, float(a.sum() + b.sum()))


RECIPE = HaemorrhageRecipe()
