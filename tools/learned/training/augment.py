"""Pieces of pictures turned, scaled and mirrored at random, and changes of their brightness. All chance is `rng`'s."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def piece(
    maps: Floats,
    rng: np.random.Generator,
    *,
    side: int,
    scale: float,
    centre: tuple[float, float],
    turned: bool = True,
    angle: float | None = None,
) -> Floats:
    """A square of `side` px around `centre` (row, column) of maps (C, H, W), enlarged by `scale`; 0 beyond the edge.

    With `turned` it is rotated by any angle, or by `angle` in radians, and mirrored in half of all draws: from left to
    right where it is rotated by 0.
    """
    import torch

    if angle is None:
        angle = rng.uniform(0.0, 2.0 * np.pi) if turned else 0.0
    mirror = -1.0 if turned and rng.random() < 0.5 else 1.0
    along, across = np.cos(angle) / scale, np.sin(angle) / scale
    steps = np.arange(side, dtype=np.float32) - (side - 1) / 2.0
    rows = centre[0] + along * steps[:, None] - across * mirror * steps[None, :]
    columns = centre[1] + across * steps[:, None] + along * mirror * steps[None, :]
    height, width = maps.shape[1:]
    grid = np.stack([2.0 * columns / (width - 1) - 1.0, 2.0 * rows / (height - 1) - 1.0], axis=-1, dtype=np.float32)
    cut = torch.nn.functional.grid_sample(
        torch.from_numpy(maps)[None], torch.from_numpy(grid)[None], mode="bilinear", align_corners=True
    )
    return np.asarray(cut[0].numpy(), dtype=np.float32)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A factor between `low` and `high`, halving as likely as doubling."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def blurred_or_noisy(x: Floats, rng: np.random.Generator, *, blur: float, noise: float) -> Floats:
    """Maps (C, H, W) with a blur of up to `blur` px in a third of all draws, and noise of up to `noise`."""
    from scipy import ndimage

    if rng.random() < 1.0 / 3.0:
        sigma = rng.uniform(0.0, blur)
        x = np.asarray(ndimage.gaussian_filter(x, (0.0, sigma, sigma)), dtype=np.float32)
    spread = np.float32(rng.uniform(0.0, noise))
    return x + spread * rng.standard_normal(x.shape, dtype=np.float32)


def uneven(rng: np.random.Generator, side: int, strength: float) -> Floats:
    """A smooth field of light (side, side) around 1, as coils and beds cause: a plane through a factor of its own."""
    slope = rng.uniform(-strength, strength, size=2)
    steps = np.linspace(-1.0, 1.0, side)
    field = 1.0 + slope[0] * steps[:, None] + slope[1] * steps[None, :]
    return np.asarray(np.clip(field, 0.2, None) * log_uniform(rng, 0.85, 1.2), dtype=np.float32)
