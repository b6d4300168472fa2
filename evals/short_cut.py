"""A short cut, to show what a set of pictures gives away: nine numbers of their brightness and a regression on them.

It learns from the pictures of other groups alone (patients), so that what it scores is what brightness tells of a
picture of somebody new. A tool that is no better has seen nothing. Groups are parted into five folds: where each is
left out by itself, what is learnt leans away from it, and numbers that tell nothing are worse than chance (AUROC 0.475
on the pneumonia set, with five folds 0.496; simulated).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.canonical import digest
from .arm import Arm
from .outcomes import Said
from .sample import Letter, Sample

Floats = NDArray[np.float64]
PERCENTILES = (5, 25, 50, 75, 95)
FOLDS = 5


@dataclass(frozen=True)
class Seen:
    """By sample, the numbers of its picture, or why there are none."""

    numbers: dict[str, Floats] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Brightness(Arm):
    """The likeliest option of a logistic regression on brightness, by the samples of other groups."""

    samples: Sequence[Sample]
    identity = "brightness"

    async def answer(self, sample: Sample, folder: Path, *, root: Path) -> Said:
        chances = self._chances.get(sample.id)
        if sample.id in self._seen.unreadable:
            return Said(silence="failed", why=self._seen.unreadable[sample.id])
        if chances is None:
            return Said(silence="abstained", why="no choice between the same options for every picture")
        best = min(chances, key=lambda letter: (-chances[letter], letter))
        return Said(option=best, answer=sample.case.options[best], confidence=chances[best], chances=chances)

    @cached_property
    def _seen(self) -> Seen:
        """What can be seen of the samples' pictures; nothing where the samples are no such choice."""
        if not one_choice(self.samples):
            return Seen()
        seen = Seen()
        for each in sorted(self.samples, key=lambda each: each.id):
            try:
                seen.numbers[each.id] = intensities(Path(str(each.case.images[0].path)))
            except (OSError, ValueError) as error:  # an open file that is no picture, or a cut one
                seen.unreadable[each.id] = f"expected a readable picture; got {type(error).__name__}: {error}"[:200]
        return seen

    @cached_property
    def _chances(self) -> dict[str, Mapping[str, float]]:
        """By sample, the probability of each option."""
        ordered = [each for each in sorted(self.samples, key=lambda each: each.id) if each.id in self._seen.numbers]
        if not ordered:
            return {}
        x = np.stack([self._seen.numbers[each.id] for each in ordered])
        letters = list(ordered[0].case.options)
        truth = np.array([each.target.letter for each in ordered if isinstance(each.target, Letter)])
        groups = np.array([each.group for each in ordered])
        raw = np.zeros((len(ordered), len(letters)))
        drawn = sorted(set(groups.tolist()), key=digest)
        folds = np.array([drawn.index(group) % FOLDS for group in groups.tolist()])
        for fold in range(FOLDS):
            own = folds == fold
            for column, letter in enumerate(letters):
                raw[own, column] = predicted(x[~own], truth[~own] == letter, x[own])
        shares = raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-12)
        return {
            each.id: {letter: round(float(share), 6) for letter, share in zip(letters, row, strict=True)}
            for each, row in zip(ordered, shares, strict=True)
        }


def one_choice(samples: Sequence[Sample]) -> bool:
    """Whether every sample is a choice between the same options about a picture."""
    same = {tuple(each.case.options.items()) for each in samples}
    return len(same) == 1 and all(isinstance(each.target, Letter) and each.case.images for each in samples)


def intensities(path: Path) -> Floats:
    """The mean, spread, least, greatest and five percentiles of a picture's grey values."""
    from PIL import Image

    with Image.open(path) as picture:
        grey = np.asarray(picture.convert("L"), dtype=np.float64)
    return np.array([grey.mean(), grey.std(), grey.min(), grey.max(), *np.percentile(grey, PERCENTILES)])


def predicted(x: Floats, truth: NDArray[np.bool_], asked: Floats) -> Floats:
    """The probability that each row of `asked` (m, d) is true, by a logistic regression on `x` (n, d), standardised,
    with the ridge penalty of one half of the squared weights; fitted by Newton's steps.

    True and untrue rows weigh alike in all: else leaving out true ones would lower what is said of them.
    """
    share_true = float(truth.mean())
    if share_true in (0.0, 1.0):
        return np.full(len(asked), share_true)
    weigh = np.where(truth, 0.5 / share_true, 0.5 / (1.0 - share_true))
    middle, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    design = np.column_stack([(x - middle) / spread, np.ones(len(x))])
    ridge = np.diag([*np.ones(x.shape[1]), 1e-9])
    weights = np.zeros(design.shape[1])
    for _ in range(30):
        share = _sigmoid(design @ weights)
        curvature = design.T @ (design * (weigh * share * (1.0 - share))[:, None]) + ridge
        weights += np.linalg.solve(curvature, design.T @ (weigh * (truth - share)) - ridge @ weights)
    return _sigmoid(np.column_stack([(asked - middle) / spread, np.ones(len(asked))]) @ weights)


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(z, -30.0, 30.0))))
