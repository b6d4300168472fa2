"""How kind_of_picture.npz is made and measured, from open pictures. It needs numpy, scipy and Pillow, no torch.

Only pictures whose licence lets us ship what was learned from them are trained on; DRIVE and Kvasir-SEG are tested on.
The kinds of the VQA-RAD pictures come from their stated organ and from looking at the heads: CT_HEADS are CT, the
others MR. Each picture is shown in seven ways, so that colour, compression, exposure and size do not decide, and chest
X-rays turned and as their negative.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy.optimize import minimize

from ...core.errors import InputError
from .kind import KINDS, POSES, SURE, Model, allowed_by_colour, colourfulness, described, looked

Floats = NDArray[np.float64]

COMPONENTS = 48
PENALTY = 1e-3
OWN_SHARE = 0.5  # of a class's own covariance, the rest is what all classes have in common
KEPT = 98.0  # per cent of a kind's own pictures, unseen in training, that lie within its limit
WIDEST = 2.0  # how far a class's limit may go, in medians of all limits
FOLDS = 5
VIEWS = ("plain", "grey", "jpeg 30", "brighter", "darker", "a third", "mirrored")
CT_HEADS = frozenset({"16520", "34922", "39757", "45914", "46943", "48714", "53867", "57520", "58261"})


@dataclass(frozen=True, kw_only=True)
class Source:
    """One set: where its pictures lie, who they belong to, and whether its licence lets us ship what is learned."""

    name: str
    pattern: str
    kind: str
    licence: str
    group: str = r"(.+)"
    every: int = 1
    trained: bool = True


SOURCES = (
    Source(name="COVID-19 chest X-rays", pattern="cxr_covid_boxes_permissive/images/*.jpg", kind="chest_xray",
           licence="CC BY or Apache-2.0 by picture; those under CC BY-SA are left out"),
    Source(name="NIH ChestX-ray14", pattern="cxr_nih_pneumonia_normal/images/*.jpg", kind="chest_xray",
           licence="no restrictions (NIH Clinical Center)", group=r"(\d{8})_"),
    Source(name="NIH ChestX-ray14, 64 px", pattern="cxr_nih1000_64px/*/*/*.png", kind="chest_xray",
           licence="no restrictions (NIH Clinical Center)", group=r"(\d{8})_", every=4),
    Source(name="VQA-RAD", pattern="vqa_rad/images/*.jpg", kind="", licence="CC0 1.0"),
    Source(name="brain haemorrhage (BHSD)", pattern="ct_brain_hemorrhage_seg/images/*.png", kind="head_ct",
           licence="MIT", group=r"(.{3})"),
    Source(name="BRISC", pattern="mri_brisc_seg/images/*", kind="head_mr", licence="MIT"),
    Source(name="CHASE_DB1", pattern="fundus_chasedb1/*.jpg", kind="fundus", licence="CC BY 4.0",
           group=r"(Image_\d\d)"),
    Source(name="BCCD", pattern="bccd_blood/JPEGImages/*.jpg", kind="blood_smear", licence="MIT"),
    Source(name="DSB 2018 (BBBC038)", pattern="nuclei_dsb2018/images/*.png", kind="", licence="CC0 1.0"),
    Source(name="BUSI", pattern="us_breast_busi_cls/*/*.png", kind="breast_ultrasound", licence="CC BY 4.0"),
    Source(name="DRIVE", pattern="fundus_drive/training/images/*.png", kind="fundus",
           licence="research and education", trained=False),
    Source(name="Kvasir-SEG", pattern="endo_kvasirseg/images/*.jpg", kind="unknown",
           licence="research and education", trained=False),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One way of showing one picture: its class, its features (F) and which classes its colour allows."""

    of: str
    group: str
    source: str
    view: str
    features: Floats
    colour: float


def train(data: Path, out: Path) -> Path:
    """Fit on all pictures of SOURCES under `data`; write OUT/kind_of_picture.npz and .json, the measured figures.

    Raises InputError where a set is missing.
    """
    samples = [sample for source in SOURCES for sample in _samples(source, data)]
    known = [s for s in samples if s.source in {source.name for source in SOURCES if source.trained}]
    tried = crossed(known)
    model = fitted(known, limits(known, tried))
    report = {"cross-validated": tallies(known, tried), **_beyond(samples, known, model)}
    out.mkdir(parents=True, exist_ok=True)
    written = out / "kind_of_picture.npz"
    np.savez_compressed(
        written, classes=np.array(model.classes), scale=np.float64(model.scale),
        limits=model.limits.astype(np.float32), mean=model.mean.astype(np.float32), axes=model.axes.astype(np.float16),
        weights=model.weights.astype(np.float32), centres=model.centres.astype(np.float32),
        inverses=model.inverses.astype(np.float32), spread=model.spread.astype(np.float32),
    )  # fmt: skip
    made = {source.name: {"licence": source.licence, "trained on": source.trained} for source in SOURCES}
    (out / "kind_of_picture.json").write_text(json.dumps({"sources": made, **report}, indent=1) + "\n")
    return written


def crossed(samples: Sequence[Sample]) -> list[tuple[Model, list[int]]]:
    """For each fold, a model of the others, and the numbers of the samples it never saw. Groups stay together."""
    groups = sorted({(s.source, s.group) for s in samples})
    order = np.random.default_rng(0).permutation(len(groups))
    fold = {groups[number]: place % FOLDS for place, number in enumerate(order)}
    parts = [[n for n, s in enumerate(samples) if fold[s.source, s.group] == k] for k in range(FOLDS)]
    return [(fitted([s for n, s in enumerate(samples) if n not in set(part)]), part) for part in parts]


def fitted(samples: Sequence[Sample], limit: dict[str, float] | None = None) -> Model:
    """Components, regression and Gaussians of the classes; without `limit` nothing is too far."""
    classes = tuple(sorted({s.of for s in samples}))
    rows = np.stack([s.features for s in samples])
    label = np.array([classes.index(s.of) for s in samples])
    share = 1.0 / (len(classes) * np.bincount(label)[label])
    mean = share @ rows
    centred = rows - mean
    _, vectors = np.linalg.eigh((centred * share[:, None]).T @ centred)
    axes = vectors[:, ::-1][:, :COMPONENTS].T.astype(np.float16).astype(np.float64)  # as they are shipped
    inside = centred @ axes.T
    outside = np.maximum((centred**2).sum(axis=1) - (inside**2).sum(axis=1), 0.0)
    scale = float(np.sqrt(inside.var(axis=0).mean()))
    own = [np.cov(inside[label == k].T) for k in range(len(classes))]
    common = sum(own) / len(own)
    mixed = [OWN_SHARE * one + (1 - OWN_SHARE) * common + 1e-5 * np.eye(COMPONENTS) for one in own]
    return Model(
        classes=classes,
        mean=mean,
        axes=axes,
        scale=scale,
        weights=_regressed(inside / scale, label, share),
        centres=np.stack([inside[label == k].mean(axis=0) for k in range(len(classes))]),
        inverses=np.linalg.inv(np.stack(mixed)),
        spread=np.array([outside[label == k].mean() for k in range(len(classes))]),
        limits=np.array([(limit or {}).get(name, np.inf) for name in classes]),
    )


def _regressed(inside: Floats, label: NDArray[np.int64], share: Floats) -> Floats:
    """Weights (K, D + 1) of the multinomial logistic regression, each class counting alike."""
    rows = np.hstack([inside, np.ones((len(inside), 1))])
    truth = np.eye(int(label.max()) + 1)[label]
    shape = (truth.shape[1], rows.shape[1])

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(shape)
        scores = rows @ weights.T
        scores -= scores.max(axis=1, keepdims=True)
        raised = np.exp(scores)
        found = raised / raised.sum(axis=1, keepdims=True)
        slope = ((found - truth) * share[:, None]).T @ rows
        slope[:, :-1] += PENALTY * weights[:, :-1]
        right = np.log(np.maximum(found[np.arange(len(label)), label], 1e-300))
        return float(-share @ right + PENALTY / 2 * (weights[:, :-1] ** 2).sum()), slope.ravel()

    best = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(best.x.reshape(shape), dtype=np.float64)


def limits(samples: Sequence[Sample], tried: Sequence[tuple[Model, list[int]]]) -> dict[str, float]:
    """How far each class's own pictures lie from it when it was fitted without them."""
    far: dict[str, list[float]] = {}
    for model, part in tried:
        distances = model.distances(np.stack([samples[n].features for n in part]))
        for n, row in zip(part, distances, strict=True):
            far.setdefault(samples[n].of, []).append(float(row[model.classes.index(samples[n].of)]))
    found = {name: float(np.percentile(values, KEPT)) for name, values in far.items()}
    widest = WIDEST * float(np.median(list(found.values())))  # a class of few pictures is not let in everything
    return {name: min(limit, widest) for name, limit in found.items()}


def tallies(samples: Sequence[Sample], tried: Sequence[tuple[Model, list[int]]]) -> dict[str, dict[str, int]]:
    """By class and view, how many pictures were shown, named right, named wrong, or called unknown; poses right."""
    limit = limits(samples, tried)
    counts: dict[str, dict[str, int]] = {}
    for model, part in tried:
        bounded = Model(**{**vars(model), "limits": np.array([limit[name] for name in model.classes])})
        for n in part:
            sample = samples[n]
            found = looked(bounded, sample.features, np.array(allowed_by_colour(sample.colour, model.classes)))
            kind = sample.of.partition("/")[0]
            right = "right" if found.kind == kind else "unknown" if not found.kind else "wrong"
            for where in (f"{sample.of} | {sample.view}", f"all | {sample.view}"):
                row = counts.setdefault(where, {"shown": 0, "right": 0, "wrong": 0, "unknown": 0, "likest right": 0})
                row["shown"] += 1
                row[right] += 1
                row["likest right"] += found.likest == kind
            if kind == "chest_xray":
                pose = sample.of.partition("/")[2]
                named = POSES[int(np.argmax(found.poses))] if found.kind == kind and max(found.poses) >= SURE else ""
                said = "right" if named == pose else "wrong" if named else "not named"
                row = counts.setdefault(f"pose | {pose} | {sample.view} | {sample.source}", {"shown": 0})
                row["shown"] += 1
                row[said] = row.get(said, 0) + 1
    return dict(sorted(counts.items()))


def _beyond(samples: Sequence[Sample], known: Sequence[Sample], model: Model) -> dict[str, dict[str, dict[str, int]]]:
    """What is said of sets that were not trained on, and of each kind by a model that does not know it."""
    other = {}
    for source in (source for source in SOURCES if not source.trained):
        other[source.name] = _said([s for s in samples if s.source == source.name], model)
    left_out = {}
    for kind in KINDS:
        rest = [s for s in known if s.of.partition("/")[0] != kind]
        unlike = fitted(rest, dict(zip(model.classes, model.limits.tolist(), strict=True)))
        left_out[kind] = _said([s for s in known if s.of.partition("/")[0] == kind and s.view == "plain"], unlike)
    return {"sets not trained on": other, "kinds left out": left_out}


def _said(samples: Sequence[Sample], model: Model) -> dict[str, int]:
    counts: dict[str, int] = {}
    for sample in samples:
        allowed = np.array(allowed_by_colour(sample.colour, model.classes))
        said = f"{sample.view}: {looked(model, sample.features, allowed).kind or 'unknown'}"
        counts[said] = counts.get(said, 0) + 1
    return dict(sorted(counts.items()))


def _samples(source: Source, data: Path) -> Iterator[Sample]:
    """Raises InputError where the set is missing."""
    paths = sorted(data.glob(source.pattern))
    if not paths:
        raise InputError(
            expected=f"pictures at {source.pattern} in the folder of the data sets", got="none",
            fix="name the folder that holds the sets: --data DIR",
        )  # fmt: skip
    kinds = _kinds(paths[0].parents[1]) if not source.kind else {}
    stated = _stated(paths[0].parents[1])
    for path in paths[:: source.every]:
        kind = source.kind or kinds.get(path.name)
        match = re.match(source.group, path.stem) or re.search(source.group, path.stem)
        patient, licence = stated.get(path.name, ("", ""))
        if kind is None or match is None or licence.startswith("CC BY-SA"):  # it binds what is made from the picture
            continue
        with Image.open(path) as file:
            picture = file.convert("L") if file.mode in {"L", "1"} else file.convert("RGB")
        for of, view, shown in _shown(kind, picture):
            array = np.asarray(shown)
            yield Sample(
                of=of, group=patient or match[1], source=source.name, view=view, features=described(array),
                colour=colourfulness(array),
            )  # fmt: skip


def _stated(folder: Path) -> dict[str, tuple[str, str]]:
    """The patient and the licence of each picture, where a set states them."""
    if not (folder / "metadata.csv").exists():
        return {}
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return {row["filename"]: (row["patientid"], row["license"]) for row in csv.DictReader(file)}


def _kinds(folder: Path) -> dict[str, str]:
    """The kind of each picture of the two sets that hold several."""
    if (folder / "counts.csv").exists():
        with (folder / "counts.csv").open(encoding="utf-8", newline="") as file:
            return {
                r["filename"]: "histology" if r["kind"] == "stained" else "fluorescence" for r in csv.DictReader(file)
            }
    asked = json.loads((folder / "dev.json").read_text(encoding="utf-8"))
    organs = {row["image_name"]: row["image_organ"] for row in asked}
    heads = {name: "head_ct" if name[6:-4] in CT_HEADS else "head_mr" for name in organs}
    return {name: {"CHEST": "chest_xray", "ABD": "trunk_ct"}.get(organ, heads[name]) for name, organ in organs.items()}


def _shown(kind: str, picture: Image.Image) -> Iterator[tuple[str, str, Image.Image]]:
    """The picture in every way it is trained on: its class, the view, the pixels."""
    small = picture.copy()
    small.thumbnail((512, 512), Image.Resampling.BOX)
    third = (max(16, small.width // 3), max(16, small.height // 3))
    views = (
        small, small.convert("L"), _compressed(small), _exposed(small, 0.7), _exposed(small, 1.4),
        small.resize(third, Image.Resampling.BOX), small.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    )  # fmt: skip
    upright = "chest_xray/upright" if kind == "chest_xray" else kind
    yield from ((upright, view, shown) for view, shown in zip(VIEWS, views, strict=True))
    if kind == "chest_xray":
        grey = small.convert("L")
        turned = (grey.transpose(Image.Transpose[f"ROTATE_{angle}"]) for angle in (90, 180, 270))
        yield from ((f"chest_xray/{pose}", "plain", shown)
                    for pose, shown in zip(POSES[1:], (*turned, ImageOps.invert(grey)), strict=True))  # fmt: skip


def _compressed(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=30)
    return Image.open(io.BytesIO(buffer.getvalue()))


def _exposed(picture: Image.Image, gamma: float) -> Image.Image:
    curve = [round(255 * (value / 255) ** gamma) for value in range(256)]
    return picture.point(curve * len(picture.getbands()))
