"""A short cut, to show what a set of pictures gives away: nine numbers of their brightness and a regression on them.

It learns from the pictures of the other groups alone (patients), so that what it scores is what brightness tells of a
picture of somebody new. A tool that is no better has seen nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .arm import Arm
from .outcomes import Said
from .sample import Letter, Sample

Floats = NDArray[np.float64]
PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Brightness(Arm):
    """The likeliest option of a logistic regression on brightness, by the samples of other groups."""

    samples: Sequence[Sample]
    identity = "brightness"

    async def answer(self, sample: Sample, folder: Path, *, root: Path) -> Said:
        chances = self._chances.get(sample.id)
        if chances is None:
            return Said(silence="abstained", why="no choice between the same options for every picture")
        best = min(chances, key=lambda letter: (-chances[letter], letter))
        return Said(option=best, answer=sample.case.options[best], confidence=chances[best], chances=chances)

    @cached_property
    def _chances(self) -> dict[str, Mapping[str, float]]:
        """By sample, the probability of each option; none where the samples are no such choice."""
        same = {tuple(each.case.options.items()) for each in self.samples}
        if len(same) != 1 or not all(isinstance(each.target, Letter) and each.case.images for each in self.samples):
            return {}
        ordered = sorted(self.samples, key=lambda each: each.id)
        x = np.stack([intensities(Path(str(each.case.images[0].path))) for each in ordered])
        letters = [letter for letter, _ in next(iter(same))]
        truth = np.array([each.target.letter for each in ordered if isinstance(each.target, Letter)])
        groups = np.array([each.group for each in ordered])
        raw = np.zeros((len(ordered), len(letters)))
        for group in sorted(set(groups.tolist())):
            own = groups == group
            for column, letter in enumerate(letters):
                raw[own, column] = predicted(x[~own], truth[~own] == letter, x[own])
        shares = raw / raw.sum(axis=1, keepdims=True)
        return {
            each.id: {letter: round(float(share), 6) for letter, share in zip(letters, row, strict=True)}
            for each, row in zip(ordered, shares, strict=True)
        }


def intensities(path: Path) -> Floats:
    """The mean, spread, least, greatest and five percentiles of a picture's grey values."""
    from PIL import Image

    with Image.open(path) as picture:
        grey = np.asarray(picture.convert("L"), dtype=np.float64)
    return np.array([grey.mean(), grey.std(), grey.min(), grey.max(), *np.percentile(grey, PERCENTILES)])


def predicted(x: Floats, truth: NDArray[np.bool_], asked: Floats) -> Floats:
    """The probability that each row of `asked` (m, d) is true, by a logistic regression on `x` (n, d), standardised,
    with the ridge penalty of one half of the squared weights; fitted by Newton's steps."""
    middle, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    design = np.column_stack([(x - middle) / spread, np.ones(len(x))])
    ridge = np.diag([*np.ones(x.shape[1]), 1e-9])
    weights = np.zeros(design.shape[1])
    for _ in range(30):
        share = _sigmoid(design @ weights)
        curvature = design.T @ (design * (share * (1.0 - share))[:, None]) + ridge
        weights += np.linalg.solve(curvature, design.T @ (truth - share) - ridge @ weights)
    return _sigmoid(np.column_stack([(asked - middle) / spread, np.ones(len(asked))]) @ weights)


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(z, -30.0, 30.0))))
