"""What asking for the most telling pictures is worth: accuracy by the number of labels, against labels drawn by chance.

    python bench/figures_label.py --data PATH [--encoder radiomics|FOLDER] [--seeds 5]

For each seed a third of the pictures is held out; of the others a simulated person labels one after the other, as
`polyclinic label` asks for them (active) or in an order drawn by chance (random), and the classifier that both ways
share is measured on the held-out third. Printed are means over seeds with their 95 % t intervals, and those of the
paired difference.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from polyclinic.knowledge.encoders.load import load_encoder
from polyclinic.knowledge.encoders.protocol import Encoder
from polyclinic.tools.imaging.store import read_picture
from polyclinic.tools.neural.active import STRENGTH, at_random, most_informative
from polyclinic.tools.neural.linear import Examples, regression

Floats = NDArray[np.float64]

KINDS = {
    "us_breast_busi_cls": "*/*.png", "cxr_nih_pneumonia_normal": "images/*", "mri_brisc_seg": "images/*",
    "endo_kvasirseg": "images/*", "bccd_blood": "JPEGImages/*", "nuclei_dsb2018": "images/*",
    "fundus_drive": "training/images/*", "ct_brain_hemorrhage_seg": "images/*",
}  # fmt: skip
MARKS = {
    "kinds of pictures": (10, 15, 20, 30, 40, 60),
    "breast ultrasound": (10, 20, 30, 40, 60, 80),
    "chest X-ray 64 px": (10, 20, 40, 60, 80, 120),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", default="radiomics")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    encoder = load_encoder(given.encoder)
    for name, files in _sets(given.data).items():
        if not files:
            print(f"{name}: skipped, no data")
            continue
        vectors = _vectors(encoder, [file for file, _ in files])
        names = [kind for _, kind in files]
        known = sorted(set(names))
        classes = np.array([known.index(kind) for kind in names], dtype=np.int64)
        print(f"{name}: {len(files)} pictures of {len(known)} classes, {given.seeds} seeds", flush=True)
        curves = {
            way: np.array([_curve(vectors, classes, choose, seed, MARKS[name]) for seed in range(given.seeds)])
            for way, choose in (("random", at_random), ("active", most_informative))
        }
        for place, mark in enumerate(MARKS[name]):
            active, random = curves["active"][:, place], curves["random"][:, place]
            print(
                f"  {mark:4} labels | random {_mean(random)} | active {_mean(active)} | gain {_mean(active - random)}"
            )


def _sets(data: Path) -> dict[str, list[tuple[Path, str]]]:
    """Pictures with their classes: at most 60 of each kind; all of the breast's; 400 of the chest's."""
    kinds = [(file, kind) for kind, where in KINDS.items() for file in sorted((data / kind).glob(where))[:60]]
    breast = [(file, file.parent.name) for file in sorted((data / "us_breast_busi_cls").glob("*/*.png"))]
    films = sorted(file for file in (data / "cxr_nih1000_64px").glob("*/*/*") if file.is_file())
    chest = [(file, file.parent.name) for file in films[::2]]
    return {"kinds of pictures": kinds, "breast ultrasound": breast, "chest X-ray 64 px": chest}


def _vectors(encoder: Encoder, files: Sequence[Path]) -> Floats:
    rows = [encoder.encode_pictures([read_picture(file)])[0] for file in files]
    return np.stack(rows).astype(np.float64)


def _curve(
    vectors: Floats, classes: NDArray[np.int64], choose: Callable[..., list[int]], seed: int, marks: Sequence[int]
) -> list[float]:
    order = np.random.default_rng(seed).permutation(len(classes))
    held, pool = order[: len(order) // 3], order[len(order) // 3 :]
    labelled: dict[int, str] = {}
    found = []
    while len(labelled) < max(marks):
        (row,) = choose(vectors[pool], labelled, 1, seed=seed)
        labelled[row] = str(classes[pool[row]])
        if len(labelled) in marks:
            found.append(_accuracy(vectors, classes, pool[list(labelled)], held))
    return found


def _accuracy(vectors: Floats, classes: NDArray[np.int64], rows: Any, held: Any) -> float:
    count = int(classes.max()) + 1
    if len(set(classes[rows])) < 2:
        return float((classes[held] == classes[rows[0]]).mean())
    examples = Examples(vectors=vectors[rows], classes=classes[rows], count=count, groups=tuple(map(str, rows)))
    weights, bias = regression(examples, (STRENGTH,))[0]
    return float(((vectors[held] @ weights + bias).argmax(axis=1) == classes[held]).mean())


def _mean(values: Floats) -> str:
    """The mean with its 95 % t interval over seeds."""
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(values.std(ddof=1)) / len(values) ** 0.5
    return f"{values.mean():+.3f} [{values.mean() - half:+.3f}, {values.mean() + half:+.3f}]"


if __name__ == "__main__":
    main()
