"""Measures image → similar case on labelled pictures: the embedded encoder, its blocks, two baselines. Changes nothing.

    python bench/similar_images.py --data PATH [--encoder SPEC …]

PATH holds the folders that SETS names. Each picture asks for its five nearest by cosine similarity among the others of
its set, without pictures of its own patient (where the source names patients) and without near-duplicates (thumbnails
that correlate above 0.98). Printed for each set: how often the first has the asker's class, and how many of the first
five have it, both averaged class by class, so that chance is 1 / classes; with 95 % percentile bootstrap intervals over
the asking pictures. Then the time per picture, and what cosine similarity means. `--encoder` adds what `load_encoder`
takes, such as a model's folder.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from polyclinic.knowledge.encoders.load import load_encoder
from polyclinic.knowledge.encoders.protocol import Encoder
from polyclinic.knowledge.encoders.radiomics import Radiomics, blocks

Picture: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float64]
Embed: TypeAlias = Callable[[Picture], Floats]

TOP = 5
NEAR_DUPLICATE = 0.98
TUMOURS = {(255, 255, 0): "meningioma", (0, 255, 255): "glioma", (255, 0, 255): "pituitary"}
KINDS = {
    "ultrasound": ["us_breast_busi_cls/*/*.png"],
    "radiograph": ["cxr_nih_pneumonia_normal/images/*", "cxr_covid_boxes_permissive/images/*"],
    "MRI": ["mri_brisc_seg/images/*"],
    "CT": ["ct_brain_hemorrhage_seg/images/*"],
    "endoscopy": ["endo_kvasirseg/images/*"],
    "fundus": ["fundus_chasedb1/*.jpg", "fundus_drive/training/images/*"],
    "blood smear": ["bccd_blood/JPEGImages/*"],
    "stained nuclei": ["nuclei_dsb2018/images/*"],
}


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A picture of a set; `patient` is its own name where the source names none."""

    pixels: Picture
    label: str
    patient: str


def read(path: Path) -> Picture:
    with Image.open(path) as image:
        return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))


def ultrasound(data: Path) -> list[Labelled]:
    """Breast: normal, benign, malignant."""
    files = sorted((data / "us_breast_busi_cls").glob("*/*.png"))
    return [Labelled(pixels=read(path), label=path.parent.name, patient=path.stem) for path in files]


def radiographs(data: Path) -> list[Labelled]:
    """Chest: pneumonia or no finding, as mined from reports."""
    files = sorted((data / "cxr_nih_pneumonia_normal" / "images").glob("*"))
    found = [(path, re.fullmatch(r"(.+)_(\d{8})_\d{3}", path.stem)) for path in files]
    return [Labelled(pixels=read(path), label=name[1], patient=name[2]) for path, name in found if name]


def small_radiographs(data: Path) -> list[Labelled]:
    """Chest, 64 × 64: normal or abnormal, as mined from reports."""
    files = sorted((data / "cxr_nih1000_64px").glob("*/*/*.png"))
    return [Labelled(pixels=read(path), label=path.parent.name, patient=path.stem[:8]) for path in files]


def tumours(data: Path) -> list[Labelled]:
    """Brain MRI: the tumour whose colour has most of the mask."""
    found = []
    for path in sorted((data / "mri_brisc_seg" / "images").glob("*.png")):
        mask = read(data / "mri_brisc_seg" / "masks" / path.name).reshape(-1, 3)
        sizes = {name: int((mask == colour).all(axis=1).sum()) for colour, name in TUMOURS.items()}
        found.append(Labelled(pixels=read(path), label=max(sizes, key=lambda name: sizes[name]), patient=path.stem))
    return found


def kinds(data: Path) -> list[Labelled]:
    """What sort of picture it is: at most 40 of each, drawn once and for all."""
    found = []
    for label, patterns in KINDS.items():
        files = sorted(path for pattern in patterns for path in data.glob(pattern))
        drawn = [files[place] for place in np.random.default_rng(0).permutation(len(files))[:40]]
        found += [Labelled(pixels=read(path), label=label, patient=str(path)) for path in drawn]
    return found


SETS = {
    "breast ultrasound": ultrasound,
    "chest radiograph": radiographs,
    "chest 64 px": small_radiographs,
    "brain tumour": tumours,
    "kind of picture": kinds,
}


def thumbnail(picture: Picture) -> Floats:
    """The baseline that sees 32 × 32 pixels, less their mean."""
    small = Image.fromarray(picture).convert("RGB").resize((32, 32), Image.Resampling.BOX)
    values = np.asarray(small, dtype=np.float64).ravel()
    return values - values.mean()


def histogram(picture: Picture) -> Floats:
    """The baseline that counts 32 grey levels."""
    grey = np.asarray(Image.fromarray(picture).convert("L"))
    return np.sqrt(np.bincount(grey.ravel() // 8, minlength=32))


def similarities(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    return unit @ unit.T


def hits(similar: Floats, labels: npt.NDArray[np.str_], barred: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether each picture's nearest have its class: bool [n, TOP]."""
    order = np.argsort(-np.where(barred, -2, similar), axis=1, kind="stable")[:, :TOP]
    return np.asarray(labels[order] == labels[:, None])


def balanced(values: Floats, labels: npt.NDArray[np.str_], rng: np.random.Generator, draws: int = 500) -> str:
    """The mean over classes of each class's mean, with the 95 % percentile bootstrap interval."""
    groups = [values[labels == label] for label in np.unique(labels)]
    means = [np.mean([group[rng.integers(0, len(group), len(group))].mean() for group in groups]) for _ in range(draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{np.mean([group.mean() for group in groups]):.3f} [{low:.3f}, {high:.3f}]"


def arms(specs: list[str]) -> dict[str, Embed]:
    found: dict[str, Embed] = {"thumbnail": thumbnail, "grey histogram": histogram}
    found["radiomics"] = embedding(Radiomics())
    for name in blocks(np.zeros((1, 1), dtype=np.uint8)):
        found[f"  {name}"] = alone(name)
    return found | {spec: embedding(load_encoder(spec)) for spec in specs}


def embedding(encoder: Encoder) -> Embed:
    return lambda picture: encoder.encode_pictures([picture])[0].astype(np.float64)


def alone(name: str) -> Embed:
    return lambda picture: blocks(picture)[name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", action="append", default=[], metavar="SPEC")
    arguments = parser.parse_args()
    embeds = arms(arguments.encoder)
    seconds, pictures, last = dict.fromkeys(embeds, 0.0), 0, {}
    for title, load in SETS.items():
        cases = load(arguments.data)
        if not cases:
            parser.error(f"no pictures for {title!r} under {arguments.data}")
        labels, owners = np.array([case.label for case in cases]), np.array([case.patient for case in cases])
        twins = similarities(np.array([thumbnail(case.pixels) for case in cases])) > NEAR_DUPLICATE
        barred = twins | (owners[:, None] == owners[None])
        pictures += len(cases)
        print(
            f"{title}: {len(cases)} pictures, {len(set(labels))} classes, chance {1 / len(set(labels)):.3f}, ", end=""
        )
        print(f"{(twins.sum() - len(cases)) // 2} near-duplicate pairs")
        for name, embed in embeds.items():
            started = time.perf_counter()
            vectors = np.array([embed(case.pixels) for case in cases])
            seconds[name] += time.perf_counter() - started
            similar = last[name] = similarities(vectors)
            right, rng = hits(similar, labels, barred), np.random.default_rng(0)
            first = balanced(right[:, 0].astype(float), labels, rng)
            print(f"  {name:20} first {first}  of five {balanced(right.mean(axis=1), labels, rng)}", flush=True)
    print(f"ms a picture over {pictures}:")
    for name, total in seconds.items():
        print(f"  {name:20} {1000 * total / pictures:.1f}")
    print("cosine similarity in the last set, 5 %, 50 % and 95 % quantiles: nearest of its kind; nearest of another")
    same = labels[:, None] == labels[None]
    for name, similar in last.items():
        near, far = (np.where(kind & ~barred, similar, -2).max(axis=1) for kind in (same, ~same))
        figures = ["  ".join(f"{value:.3f}" for value in np.quantile(side, [0.05, 0.5, 0.95])) for side in (near, far)]
        print(f"  {name:20} {figures[0]};  {figures[1]}")


if __name__ == "__main__":
    main()
