"""Measures the figures on the tools' cards: python bench/tool_figures.py --data PATH. It changes no card.

PATH holds the folders fundus_chasedb1, fundus_drive, nuclei_dsb2018 and the other public sets named below; missing
ones are skipped and said so. Each line: tool, metric, data set, n, value and 95 % interval (bootstrap over pictures,
2,000 draws, seed 0; Wilson for proportions).
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from figures_classical import MEASURES as CLASSICAL
from figures_shared import dice as _dice
from figures_shared import matches as _matches
from figures_shared import print_mean as _print
from figures_shared import print_share as _print_share
from figures_shared import run as _run
from figures_shared import truth as _truth

from polyclinic.core.blobs import Blobs
from polyclinic.core.case import Image
from polyclinic.core.errors import InputError
from polyclinic.tools.classical import fundus_disc, fundus_vessels, stained_cells
from polyclinic.tools.gate import quality as gate
from polyclinic.tools.imaging.store import ImageStore

GATE_SETS = (
    "bccd_blood/JPEGImages/*.jpg", "ct_brain_hemorrhage_seg/images/*.png", "cxr_covid_boxes_permissive/images/*.jpg",
    "cxr_nih1000_64px/*/*/*.png", "cxr_nih_pneumonia_normal/images/*.jpg", "endo_kvasirseg/images/*.jpg",
    "fundus_chasedb1/*.jpg", "fundus_drive/training/images/*.png", "mri_brisc_seg/images/*",
    "nuclei_dsb2018/images/*.png", "us_breast_busi_cls/*/*.png", "vqa_rad/images/*.jpg", "dicom_samples/*.dcm",
    "ct_totalseg_example/dicom/*",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--only", choices=sorted(MEASURES), help="one tool instead of all")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = ImageStore(Blobs(Path(folder) / "blobs"))
        for name, measure in MEASURES.items():
            if chosen.only in (None, name):
                measure(chosen.data, store)


def vessels(data: Path, store: ImageStore) -> None:
    """Dice with the first observer; the second observer against the first shows what people reach."""
    sets = {
        "CHASE_DB1": (data / "fundus_chasedb1", "*.jpg", lambda image: image.with_name(f"{image.stem}_1stHO.png")),
        "DRIVE training": (data / "fundus_drive/training", "images/*.png", _drive_truth),
    }
    for name, (folder, pattern, truth_of) in sets.items():
        dice, human, density = [], [], []
        for path in sorted(folder.glob(pattern)):
            truth = _truth(truth_of(path)) > 0
            output, _ = _run(fundus_vessels.TOOL, path, store)
            found = store.open(output.vessel_density.mask).array > 0
            field = store.open(output.field_of_view.mask).array > 0
            dice.append(_dice(found, truth))
            density.append(abs(output.vessel_density.value - 100.0 * truth.sum() / field.sum()))
            second = path.with_name(f"{path.stem}_2ndHO.png")
            if second.exists():
                human.append(_dice(_truth(second) > 0, truth))
        _print("fundus_vessels", "Dice, mean", name, dice)
        if name == "CHASE_DB1":
            _print("fundus_vessels", "Dice, mean", "CHASE_DB1 subjects 5 to 14, filter not tuned on them", dice[8:])
        _print("fundus_vessels", "vessel density, mean absolute error in points", name, density)
        _print("(second observer)", "Dice, mean", name, human)


def disc(data: Path, store: ImageStore) -> None:
    """No disc labels are at hand: only how often the tool refuses real fundus photographs, and how far pallor reaches
    in eyes of which none is known to have glaucoma."""
    sets = {"CHASE_DB1": "fundus_chasedb1/*.jpg", "DRIVE training": "fundus_drive/training/images/*.png"}
    for name, pattern in sets.items():
        outputs = [_run(fundus_disc.TOOL, path, store)[0] for path in sorted(data.glob(pattern))]
        _print_share("fundus_disc", "refused", name, [float(output is None) for output in outputs])
        ratios = [output.cup_ratio.value for output in outputs if output is not None and output.cup_ratio is not None]
        _print("fundus_disc", "pallor-to-disc ratio, mean", name, ratios)
        _print_share("fundus_disc", "pallor-to-disc ratio of 0.7 or more", name, [float(v >= 0.7) for v in ratios])


def _drive_truth(image: Path) -> Path:
    return next((image.parent.parent / "1st_manual").glob(f"{image.name[:2]}_*"))


def cells(data: Path, store: ImageStore) -> None:
    """F1 at IoU 0.5 and the count's relative error on the stained pictures."""
    folder = data / "nuclei_dsb2018"
    if not folder.is_dir():
        print("nuclei_dsb2018: skipped, no such folder")
        return
    with (folder / "counts.csv").open(encoding="utf-8", newline="") as file:
        stained = [row for row in csv.DictReader(file) if row["kind"] == "stained"]
    f1, errors, pooled = [], [], np.zeros(3)
    for row in stained:
        taken = store.take_in(Image(path=str(folder / "images" / row["filename"])), base=Path(), root=None)
        found = stained_cells.nuclei(store.open(str(taken.image.blob)).array.astype(np.uint8))
        truth = _truth(folder / "instance_labels" / row["filename"]).astype(np.int64)
        hits, ours, theirs = _matches(found, truth)
        pooled += (hits, ours, theirs)
        f1.append(2.0 * hits / max(1, ours + theirs))
        errors.append(abs(ours - theirs) / theirs)
    _print("stained_cells", "F1 at IoU 0.5, mean", "DSB 2018 stained", f1)
    whole = 2 * pooled[0] / (pooled[1] + pooled[2])
    print(f"stained_cells | F1 at IoU 0.5, all nuclei pooled | DSB 2018 stained | n={len(f1)} | {whole:.3f}")
    _print("stained_cells", "count, mean relative error", "DSB 2018 stained", errors)


def false_stops(data: Path, store: ImageStore) -> None:
    """How often the gate stops pictures of real patients."""
    everything: list[float] = []
    for pattern in GATE_SETS:
        verdicts = []
        for path in sorted(data.glob(pattern)):
            try:
                output, _ = _run(gate.GATE, path, store)
            except InputError:
                continue  # plans, reports and damaged files are no pictures
            verdicts.append(output.verdict)
            if output.verdict == "stop":
                print(f"    {path.relative_to(data)}: {output.verdict}: {' '.join(output.observations)}")
        stops = [float(verdict == "stop") for verdict in verdicts]
        limited = sum(verdict == "go_with_limitation" for verdict in verdicts)
        _print_share("image_quality", f"stopped ({limited} with limitation)", pattern.split("/")[0], stops)
        everything += stops
    _print_share("image_quality", "stopped", "all sets", everything)


MEASURES: dict[str, Callable[[Path, ImageStore], None]] = {
    **CLASSICAL,
    "fundus_disc": disc,
    "fundus_vessels": vessels,
    "image_quality": false_stops,
    "stained_cells": cells,
}


if __name__ == "__main__":
    main()
