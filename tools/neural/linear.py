"""Linear classifiers on an encoder's vectors, from a handful of examples or hundreds, with honest probabilities.

With five examples of every class or more: multinomial logistic regression, the strength of its L2 penalty chosen by
cross-validation, its logits divided by one temperature (Guo et al., ICML 2017) that is fitted to predictions for
examples it had not seen. With fewer: the nearest mean of a class (Snell et al., NeurIPS 2017), which is linear too. It
opens no picture and knows no encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..learned.training.items import Item, folds

Floats: TypeAlias = npt.NDArray[np.float64]
Whole: TypeAlias = npt.NDArray[np.int64]
Method: TypeAlias = Literal["logistic", "prototypes"]

FEWEST = 5
"""Examples of every class from which a regression is fitted; below, the nearest mean answers."""

FOLDS = 5
STRENGTHS = tuple(float(10.0**power) for power in np.arange(0.0, -4.0, -0.75))
"""Of the L2 penalty, strong ones first, for vectors whose mean square distance from their middle is 1."""

_SHARPNESS = 10.0  # of nearest means that no held-out example can set
_LEAST = 1e-12
_SOLVED = {"maxiter": 200, "ftol": 1e-8, "gtol": 1e-5}


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Vectors (n, d) with their classes, numbers from 0 to `count` - 1; those of one group (patient) stay together."""

    vectors: Floats
    classes: Whole
    count: int
    groups: tuple[str, ...]

    def take(self, chosen: Whole) -> Examples:
        groups = tuple(self.groups[number] for number in chosen)
        return replace(self, vectors=self.vectors[chosen], classes=self.classes[chosen], groups=groups)

    @property
    def per_class(self) -> Whole:
        return np.bincount(self.classes, minlength=self.count)

    @property
    def groups_per_class(self) -> list[int]:
        """In how many groups each class occurs."""
        names = np.array(self.groups, dtype=object)
        return [len(set(names[self.classes == number])) for number in range(self.count)]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A fitted classifier. `calibrated` says that its probabilities were fitted to predictions on held-out examples."""

    weights: Floats
    bias: Floats
    method: Method
    strength: float
    temperature: float
    calibrated: bool

    def logits(self, vectors: Floats) -> Floats:
        """(n, d) to (n, classes)."""
        return np.asarray((vectors @ self.weights + self.bias) / self.temperature, dtype=np.float64)

    def probabilities(self, vectors: Floats) -> Floats:
        """(n, d) to (n, classes); rows add up to 1."""
        return softmax(self.logits(vectors))


def fit(examples: Examples, *, seed: int = 0) -> Linear:
    """The classifier that these examples allow."""
    method: Method = "logistic" if examples.per_class.min() >= FEWEST else "prototypes"
    parts = splits(examples, seed)
    if method == "prototypes":
        return _prototypes(examples, parts)
    strength, temperature = _chosen(examples, parts) if parts else (STRENGTHS[2], 1.0)
    weights, bias = regression(examples, (strength,))[0]
    return Linear(
        weights=weights, bias=bias, method=method, strength=strength, temperature=temperature, calibrated=bool(parts)
    )


def held_out(examples: Examples, *, seed: int = 0) -> Floats | None:
    """For every example the probabilities (n, classes) by a classifier made without its fold, choice of penalty and
    temperature included; None where a class has less than two groups."""
    parts = splits(examples, seed)
    if not parts:
        return None
    found = np.zeros((len(examples.classes), examples.count))
    for train, test in parts:
        found[test] = fit(examples.take(train), seed=seed).probabilities(examples.vectors[test])
    return found


def splits(examples: Examples, seed: int) -> list[tuple[Whole, Whole]]:
    """At most FOLDS pairs (train, test) of whole groups with even shares of each class; none where a class has less
    than two groups."""
    count = min(FOLDS, *examples.groups_per_class)
    if count < 2:
        return []
    items = [
        Item(id=f"{number:09d}", group=group, files={}, kind=str(kind))
        for number, (group, kind) in enumerate(zip(examples.groups, examples.classes, strict=True))
    ]
    return [(_numbers(fold.train), _numbers(fold.test)) for fold in folds(items, count, seed)]


def regression(examples: Examples, strengths: Sequence[float] = (STRENGTHS[2],)) -> list[tuple[Floats, Floats]]:
    """Weights (d, classes) and bias of multinomial logistic regressions, one for each penalty.

    The mean log loss plus strength / 2 times the squared weights is brought to its least by L-BFGS. It is solved for
    the vectors' own directions alone, where the weights lie: with fewer examples than values that is far less work.
    """
    from scipy.optimize import minimize

    middle = examples.vectors.mean(axis=0)
    centred = examples.vectors - middle
    scale = 1.0 / max(float(np.sqrt((centred**2).sum(axis=1).mean())), _LEAST)
    left, sizes, right = np.linalg.svd(centred * scale, full_matrices=False)
    kept = sizes > max(float(sizes.max(initial=0.0)) * 1e-7, _LEAST)
    rows, back = left[:, kept] * sizes[kept], right[kept]
    n, wide, count = len(rows), rows.shape[1], examples.count
    truth = np.eye(count)[examples.classes]

    def loss(flat: Floats, strength: float) -> tuple[float, Floats]:
        inner, bias = flat[:-count].reshape(wide, count), flat[-count:]
        shares = softmax(rows @ inner + bias)
        wrong = (shares - truth) / n
        value = _log_loss(shares, examples.classes) + 0.5 * strength * float((inner**2).sum())
        slope = np.concatenate([(rows.T @ wrong + strength * inner).ravel(), wrong.sum(axis=0) + 1e-6 * bias])
        return value + 0.5e-6 * float((bias**2).sum()), slope

    found, flat = [], np.zeros(wide * count + count)
    for strength in strengths:
        flat = minimize(loss, flat, args=(strength,), jac=True, method="L-BFGS-B", options=_SOLVED).x
        weights = scale * back.T @ flat[:-count].reshape(wide, count)
        found.append((weights, flat[-count:] - middle @ weights))
    return found


def softmax(logits: Floats) -> Floats:
    """Along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float64)


def auroc(probabilities: Floats, classes: Whole) -> float:
    """The mean over classes of the area under the curve of each against all others; NaN where no class has both."""
    areas = []
    for number in np.unique(classes):
        mine = classes == number
        others = np.sort(probabilities[~mine, number])
        if len(others):
            ranks = [np.searchsorted(others, probabilities[mine, number], side) for side in ("left", "right")]
            areas.append(float(np.mean(ranks)) / len(others))
    if probabilities.shape[1] == 2:
        areas = areas[:1]
    return float(np.mean(areas)) if areas else float("nan")


def calibration_error(probabilities: Floats, classes: Whole, bins: int = 10) -> float:
    """The expected calibration error of the likeliest class (Naeini et al., AAAI 2015): 0 where stated confidence is
    the share of right answers in every one of ten bins."""
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == classes
    place = np.minimum((sure * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, right.astype(np.float64) - sure, bins)
    return float(np.abs(gaps).sum() / len(classes))


def _chosen(examples: Examples, parts: Sequence[tuple[Whole, Whole]]) -> tuple[float, float]:
    """The penalty whose held-out predictions lose least, and the temperature that fits these best."""
    logits = np.zeros((len(STRENGTHS), len(examples.classes), examples.count))
    for train, test in parts:
        for place, (weights, bias) in enumerate(regression(examples.take(train), STRENGTHS)):
            logits[place, test] = examples.vectors[test] @ weights + bias
    tried = [(_temperature(some, examples.classes), strength) for some, strength in zip(logits, STRENGTHS, strict=True)]
    (_, temperature), strength = min(tried, key=lambda one: one[0][0])
    return strength, temperature


def _prototypes(examples: Examples, parts: Sequence[tuple[Whole, Whole]]) -> Linear:
    weights, bias = _means(examples)
    temperature = 1.0 / _SHARPNESS
    if parts:
        logits = np.zeros((len(examples.classes), examples.count))
        for train, test in parts:
            some, offset = _means(examples.take(train))
            logits[test] = examples.vectors[test] @ some + offset
        _, temperature = _temperature(logits, examples.classes)
    return Linear(
        weights=weights, bias=bias, method="prototypes", strength=0.0, temperature=temperature, calibrated=bool(parts)
    )


def _means(examples: Examples) -> tuple[Floats, Floats]:
    """The linear form of the (halved, negative) squared distance to each class's mean."""
    empty = examples.vectors.mean(axis=0)
    parts = [examples.vectors[examples.classes == number] for number in range(examples.count)]
    means = np.stack([part.mean(axis=0) if len(part) else empty for part in parts])
    return means.T, -0.5 * (means**2).sum(axis=1)


def _temperature(logits: Floats, classes: Whole) -> tuple[float, float]:
    """The least log loss of logits / temperature, and that temperature, between 1/300 and 300."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return _log_loss(softmax(logits / np.exp(log_temperature)), classes)

    edge = float(np.log(300.0))
    found = minimize_scalar(loss, bounds=(-edge, edge), method="bounded", options={"xatol": 1e-3})
    return float(found.fun), float(np.exp(found.x))


def _log_loss(shares: Floats, classes: Whole) -> float:
    return float(-np.log(np.maximum(shares[np.arange(len(classes)), classes], _LEAST)).mean())


def _numbers(items: Sequence[Item]) -> Whole:
    return np.array([int(item.id) for item in items], dtype=np.int64)
