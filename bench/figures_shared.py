"""What the measures of tools' figures share: running a tool on a file, agreement with truth, means with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from polyclinic.core.case import Image
from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.card import Tool
from polyclinic.tools.imaging.store import ImageStore


def run(tool: Tool, path: Path, store: ImageStore, **stated: Any) -> tuple[Any, Image]:
    """What the tool puts out for a file, None where it refuses, and the image as taken in."""
    taken = store.take_in(Image(path=str(path)), base=Path(), root=None)
    try:
        return tool.run(tool.arguments(image=str(taken.image.blob), **stated), store), taken.image
    except ToolRefusedError:
        return None, taken.image


def truth(path: Path) -> NDArray[Any]:
    """A mask or label picture as numbers (H, W)."""
    array = np.asarray(PIL.Image.open(path))
    return array if array.ndim == 2 else array[..., 0]


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return 2.0 * float((one & other).sum()) / float(one.sum() + other.sum())


def matches(found: NDArray[Any], truth: NDArray[Any]) -> tuple[int, int, int]:
    """Pairs with an IoU of at least 0.5, and how many objects each side has."""
    table = np.zeros((int(found.max()) + 1, int(truth.max()) + 1))
    np.add.at(table, (found.ravel(), truth.ravel()), 1)
    ours, theirs = table.sum(axis=1), table.sum(axis=0)
    overlap = table[1:, 1:] / np.maximum(ours[1:, None] + theirs[None, 1:] - table[1:, 1:], 1.0)
    return int((overlap >= 0.5).sum()), int((ours[1:] > 0).sum()), int((theirs[1:] > 0).sum())


def print_mean(tool: str, metric: str, dataset: str, values: Sequence[float]) -> None:
    if not values:
        print(f"{tool} | {metric} | {dataset} | skipped, no data")
        return
    low, high = np.percentile(list(bootstrap(np.asarray(values))), (2.5, 97.5))
    print(f"{tool} | {metric} | {dataset} | n={len(values)} | {np.mean(values):.3f} [{low:.3f}, {high:.3f}]")


def bootstrap(values: NDArray[np.float64]) -> Iterator[float]:
    generator = np.random.default_rng(0)
    for _ in range(2_000):
        yield float(values[generator.integers(0, len(values), len(values))].mean())


def print_share(tool: str, metric: str, dataset: str, values: Sequence[float]) -> None:
    if not values:
        print(f"{tool} | {metric} | {dataset} | skipped, no data")
        return
    n, share, z2 = len(values), float(np.mean(values)), 1.96**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = 1.96 * (share * (1 - share) / n + z2 / (4 * n * n)) ** 0.5 / (1 + z2 / n)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    print(f"{tool} | {metric} | {dataset} | n={n} | {share:.3f} [{low:.3f}, {high:.3f}]", flush=True)
