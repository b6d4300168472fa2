"""Figures of the classical tools: run by bench/tool_figures.py, one function for each tool. It changes no card."""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import PIL.Image
from figures_shared import dice, matches, print_mean, print_share, run, truth
from numpy.typing import NDArray
from scipy import ndimage

from polyclinic.core.case import Image
from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.classical import (
    alignment,
    blood_smear_counts,
    chest_lungs,
    ct_volumes,
    dermoscopy_abcd,
    fluorescent_nuclei,
    fundus_bright_lesions,
    lesion_size,
    registration_difference,
)
from polyclinic.tools.classical.fundus_vessels import field_of_view
from polyclinic.tools.imaging.raster import resized
from polyclinic.tools.imaging.store import ImageStore

OTHER_KINDS = {
    "breast ultrasound": "us_breast_busi_cls/*/*.png", "brain MR": "mri_brisc_seg/images/*",
    "head CT": "ct_brain_hemorrhage_seg/images/*.png", "blood smears": "bccd_blood/JPEGImages/*.jpg",
    "fundus photographs": "fundus_chasedb1/*.jpg", "colonoscopy": "endo_kvasirseg/images/*.jpg",
    "nuclei": "nuclei_dsb2018/images/*.png",
}  # fmt: skip
ENLARGED = re.compile(
    r"cardiomegaly|(?:heart|cardiac)\b.*\b(?:enlarge|dilated|too big|larger|increased|abnormally large)"
)


def chest(data: Path, store: ImageStore) -> None:
    """Lung boxes against hand-drawn ones, as they are and with those boxes' usual margin; the ratio against readers."""
    folder = data / "cxr_covid_boxes_permissive"
    pairs = []
    for path, boxes in _lung_boxes(folder):
        output, _ = run(chest_lungs.TOOL, path, store)
        if output is not None:
            pairs.append(([output.right_lung.box_px, output.left_lung.box_px], boxes))
    total = sum(1 for _ in _lung_boxes(folder))
    print_share("chest_lungs", "refused", "COVID lung boxes", [1.0] * (total - len(pairs)) + [0.0] * len(pairs))
    print_mean("chest_lungs", "IoU of lung boxes, mean", "COVID lung boxes", [_mean_iou(*pair) for pair in pairs])
    margins = np.median([_edges(*pair) for pair in pairs[::2]], axis=0) if pairs else None
    widened = [_mean_iou(_widened(ours, margins), theirs) for ours, theirs in pairs[1::2]]
    print_mean("chest_lungs", "IoU of lung boxes with the margin of every other picture", "COVID lung boxes", widened)
    _heart(data, store)
    normal = [run(chest_lungs.TOOL, path, store)[0] for path in sorted(
        (data / "cxr_nih_pneumonia_normal/images").glob("no_finding*"))]  # fmt: skip
    above = [float(output.ratio.value > 0.5) for output in normal if output is not None]
    print_share("chest_lungs", "ratio above 0.5", "NIH no finding (AP and PA)", above)
    _other_kinds("chest_lungs", chest_lungs.TOOL, data, store)


def _heart(data: Path, store: ImageStore) -> None:
    folder = data / "vqa_rad"
    if not folder.is_dir():
        return
    answers: dict[str, set[bool]] = defaultdict(set)
    for row in json.loads((folder / "dev.json").read_text(encoding="utf-8")):
        answer = str(row["answer"]).strip().lower()
        if row["image_organ"] == "CHEST" and answer in ("yes", "no") and ENLARGED.search(row["question"].lower()):
            answers[row["image_name"]].add(answer == "yes")
    large, usual = [], []
    for name, said in sorted(answers.items()):
        output, _ = run(chest_lungs.TOOL, folder / "images" / name, store)
        if output is not None and len(said) == 1:
            (large if said == {True} else usual).append(output.ratio.value)
    pairs = [(value, True) for value in large] + [(value, False) for value in usual]
    print(f"    enlarged {sorted(large)}\n    not enlarged {sorted(usual)}")
    print(f"chest_lungs | AUROC of the ratio | VQA-RAD, heart enlarged | n={len(pairs)} | {_auroc(pairs)}")


def _auroc(pairs: list[tuple[float, bool]]) -> str:
    values, marks = (np.array(list(part)) for part in zip(*pairs, strict=True))

    def area(chosen: NDArray[np.intp]) -> float:
        high, low = values[chosen][marks[chosen]], values[chosen][~marks[chosen]]
        if not high.size or not low.size:
            return float("nan")
        above = (high[:, None] > low[None]).mean() + 0.5 * (high[:, None] == low[None]).mean()
        return float(above)

    generator = np.random.default_rng(0)
    drawn = [area(generator.integers(0, len(values), len(values))) for _ in range(2_000)]
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return f"{area(np.arange(len(values))):.3f} [{low:.3f}, {high:.3f}]"


def _lung_boxes(folder: Path) -> Iterator[tuple[Path, list[tuple[float, ...]]]]:
    if not folder.is_dir():
        return
    stated = json.loads((folder / "lung_boxes_coco.json").read_text(encoding="utf-8"))
    boxes: dict[int, dict[int, tuple[float, ...]]] = defaultdict(dict)
    for item in stated["annotations"]:
        left, top, width, height = item["bbox"]
        boxes[item["image_id"]][item["category_id"]] = (left, top, left + width, top + height)
    for image in sorted(stated["images"], key=lambda image: str(image["file_name"])):
        yield folder / "images" / image["file_name"], [boxes[image["id"]][1], boxes[image["id"]][2]]


def _edges(ours: list[Any], theirs: list[Any]) -> NDArray[np.float64]:
    sides = np.array([(right - left, bottom - top) * 2 for left, top, right, bottom in ours], dtype=np.float64)
    return (np.array(theirs) - np.array(ours)) / sides


def _widened(boxes: list[Any], margins: Any) -> list[Any]:
    sides = np.array([(right - left, bottom - top) * 2 for left, top, right, bottom in boxes], dtype=np.float64)
    return list(np.array(boxes) + margins * sides)


def _mean_iou(ours: list[Any], theirs: list[Any]) -> float:
    return float(np.mean([_iou(one, other) for one, other in zip(ours, theirs, strict=True)]))


def _iou(one: Any, other: Any) -> float:
    wide = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    high = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(wide * high / (sum(areas) - wide * high))


def bright_lesions(data: Path, store: ImageStore) -> None:
    """Spots found in eyes in which none are labelled, and how many planted yellow spots are found again."""
    sets = {"CHASE_DB1": "fundus_chasedb1/*.jpg", "DRIVE training": "fundus_drive/training/images/*.png"}
    for name, pattern in sets.items():
        counts, any_spot, found = [], [], []
        generator = np.random.default_rng(0)
        for path in sorted(data.glob(pattern)):
            output, _ = run(fundus_bright_lesions.TOOL, path, store)
            if output is None:
                continue
            counts.append(output.count.value)
            any_spot.append(float(output.count.value > 0))
            rgb = np.asarray(PIL.Image.open(path).convert("RGB"))
            planted, places = _with_spots(rgb, generator)
            answer = fundus_bright_lesions.TOOL.run(_image(store, planted, fundus_bright_lesions.TOOL), store)
            mask = store.open(answer.count.mask).array > 0
            found.append(float(np.mean([mask[y - 2 : y + 3, x - 2 : x + 3].any() for y, x in places])))
        print_mean("fundus_bright_lesions", "spots where none are labelled, mean number", name, counts)
        print_share("fundus_bright_lesions", "pictures with any spot where none are labelled", name, any_spot)
        print_mean("fundus_bright_lesions", "planted spots found, mean share", name, found)


def _with_spots(rgb: NDArray[np.uint8], generator: Any) -> tuple[NDArray[np.uint8], list[tuple[int, int]]]:
    """Eight yellow spots, a hundredth of the field wide, at least 0.6 of what the field leaves to white brighter."""
    field = field_of_view(rgb)
    width = int(field.any(axis=0).sum())
    inside = np.argwhere(ndimage.binary_erosion(field[::4, ::4], iterations=max(2, width // 60))) * 4
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    picture, places = rgb.astype(np.float32), []
    for row, column in inside[generator.integers(0, len(inside), 8)]:
        radius = width * generator.uniform(0.004, 0.009)
        spot = 0.5 * (1.0 - np.tanh((np.hypot(y - row, x - column) - radius) / 1.6))[..., None]
        picture += spot * 0.6 * (np.array([255.0, 235.0, 150.0]) - picture).clip(0)
        places.append((int(row), int(column)))
    return picture.clip(0, 255).astype(np.uint8), places


def fluorescence(data: Path, store: ImageStore) -> None:
    """Dice, F1 at IoU 0.5 and the count's relative error on the pictures that are not stained."""
    folder = data / "nuclei_dsb2018"
    if not folder.is_dir():
        return
    with (folder / "counts.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] != "stained"]
    overlaps, f1, errors, refused = [], [], [], []
    for row in rows:
        path = folder / "images" / row["filename"]
        output, taken = run(fluorescent_nuclei.TOOL, path, store)
        refused.append(float(output is None))
        grey = store.open(str(taken.blob)).array
        found = fluorescent_nuclei.nuclei((grey if grey.ndim == 2 else grey.max(axis=2)).astype(np.float32))
        labels = truth(folder / "instance_labels" / row["filename"]).astype(np.int64)
        hits, ours, theirs = matches(found, labels)
        overlaps.append(dice(found > 0, labels > 0))
        f1.append(2.0 * hits / max(1, ours + theirs))
        errors.append(abs(ours - theirs) / theirs)
    name = "DSB 2018 fluorescence"
    print_share("fluorescent_nuclei", "refused", name, refused)
    print_mean("fluorescent_nuclei", "Dice, mean", name, overlaps)
    print_mean("fluorescent_nuclei", "F1 at IoU 0.5, mean", name, f1)
    print_mean("fluorescent_nuclei", "count, mean relative error", name, errors)


def smears(data: Path, store: ImageStore) -> None:
    """Mean absolute errors of the counts on the validation part of BCCD."""
    folder = data / "bccd_blood"
    if not folder.is_dir():
        return
    errors: dict[str, list[float]] = defaultdict(list)
    refused = []
    for name in (folder / "ImageSets/Main/val.txt").read_text(encoding="utf-8").split():
        output, _ = run(blood_smear_counts.TOOL, folder / f"JPEGImages/{name}.jpg", store)
        refused.append(float(output is None))
        if output is None:
            continue
        tree = ElementTree.parse(folder / f"Annotations/{name}.xml")  # noqa: S314 - a public set's own labels
        labels = [str(item.findtext("name")) for item in tree.iter("object")]
        for label, counted in (("RBC", output.red_cells), ("WBC", output.white_cells), ("Platelets", output.platelets)):
            errors[label].append(abs(counted.value - labels.count(label)))
    print_share("blood_smear_counts", "refused", "BCCD validation", refused)
    for label, values in errors.items():
        print_mean("blood_smear_counts", f"{label} count, mean absolute error", "BCCD validation", values)


def volumes(data: Path, store: ImageStore) -> None:
    """Lung against the reference output of TotalSegmentator, a model, on its one example volume."""
    folder = data / "ct_totalseg_example"
    if not folder.is_dir():
        return
    import nibabel

    path = folder / "example_ct_sm.nii.gz"
    taken = store.take_in(Image(path=str(path), modality="ct"), base=Path(), root=None).image
    volume = store.open_volume(str(taken.blob))
    found = ct_volumes.parts(volume.array.astype(np.float32), volume.spacing_mm)
    stored: Any = nibabel.load(folder / "example_seg.nii.gz")
    here, wanted = nibabel.io_orientation(stored.affine), nibabel.orientations.axcodes2ornt("LPS")
    turned = stored.as_reoriented(nibabel.orientations.ornt_transform(here, wanted))
    lung = np.isin(np.asarray(turned.dataobj).transpose(2, 1, 0), (10, 11, 12, 13, 14))
    ours, theirs = (float(part.sum()) * found.voxel_ml for part in (found.lung, lung))
    print(f"ct_volumes | Dice of the lung | TotalSegmentator example | n=1 | {dice(found.lung, lung):.3f}")
    print(f"ct_volumes | lung volume {ours:.1f} mL against {theirs:.1f} mL | TotalSegmentator example | n=1")


def lesions(data: Path, store: ImageStore) -> None:
    """Dice of polyps given their true box or an inner point; the ellipse that fills the box is what no image needs."""
    by_box, by_point, ellipse, long_error = [], [], [], []
    for path in sorted((data / "endo_kvasirseg/images").glob("*.jpg")):
        mask = truth(data / "endo_kvasirseg/masks" / path.name) > 127
        pieces, _ = ndimage.label(mask)
        mask = pieces == 1 + int(np.bincount(pieces.ravel())[1:].argmax())
        picture = np.asarray(PIL.Image.open(path).convert("RGB"))
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        row, column = (int(at) for at in np.unravel_index(int(depth.argmax()), depth.shape))
        y, x = np.mgrid[: mask.shape[0], : mask.shape[1]] + 0.5
        across = (x - (box[0] + box[2]) / 2) / (box[2] - box[0]) * 2
        down = (y - (box[1] + box[3]) / 2) / (box[3] - box[1]) * 2
        found = lesion_size.from_box(picture, box)
        by_box.append(dice(found, mask))
        by_point.append(dice(lesion_size.from_point(picture, (column, row)), mask))
        ellipse.append(dice(np.hypot(across, down) <= 1.0, mask))
        ours, theirs = (lesion_size.axes(region, (1.0, 1.0)).long for region in (found, mask))
        long_error.append(abs(ours - theirs) / theirs)
    print_mean("lesion_size", "Dice given the true box, mean", "Kvasir-SEG", by_box)
    print_mean("(ellipse that fills the box)", "Dice, mean", "Kvasir-SEG", ellipse)
    print_mean("lesion_size", "Dice given the innermost point, mean", "Kvasir-SEG", by_point)
    print_mean("lesion_size", "longest diameter given the true box, mean relative error", "Kvasir-SEG", long_error)


def dermoscopy(data: Path, store: ImageStore) -> None:
    """No dermoscopic pictures are at hand: only how often pictures of other kinds are refused."""
    _other_kinds("dermoscopy_abcd", dermoscopy_abcd.TOOL, data, store)


def _other_kinds(name: str, tool: Any, data: Path, store: ImageStore) -> None:
    for kind, pattern in OTHER_KINDS.items():
        paths = sorted(data.glob(pattern))
        some = paths[:: max(1, len(paths) // 24)]
        print_share(name, "refused", kind, [float(run(tool, path, store)[0] is None) for path in some])


def registration(data: Path, store: ImageStore) -> None:
    """Pictures against their own moved, noisier copies; two people; and two dates of one patient."""
    sets = {"CHASE_DB1": "fundus_chasedb1/*.jpg", "NIH pneumonia/no finding": "cxr_nih_pneumonia_normal/images/*.jpg"}
    tool = registration_difference.TOOL
    for name, pattern in sets.items():
        generator = np.random.default_rng(0)
        error, false, found, strangers = [], [], [], []
        paths = sorted(data.glob(pattern))
        paths = paths[:: max(1, len(paths) // 28)]
        for place, path in enumerate(paths):
            picture = np.asarray(PIL.Image.open(path).convert("RGB"))
            other = np.asarray(PIL.Image.open(paths[(place + 5) % len(paths)]).convert("RGB"))
            moved, matrix = _moved(picture, generator)
            error.append(_error(store, picture, moved, matrix))
            plain = _compared(store, picture, moved, tool)
            false.append(float(plain is None or bool(plain.regions)))
            planted, at = _with_mass(picture, generator)
            answer = _compared(store, planted, moved, tool)
            boxes = () if answer is None else [region.box_px for region in answer.regions]
            found.append(float(any(b[0] <= at[0] < b[2] and b[1] <= at[1] < b[3] for b in boxes)))
            strangers.append(float(_compared(store, picture, other, tool) is None))
        if error:
            middle = [float(np.median(one)) for one in _drawn_again(error)]
            low, high = np.percentile(middle, (2.5, 97.5))
            print(f"registration_difference | median error in px of 384 | {name} | n={len(error)} | "
                  f"{np.median(error):.2f} [{low:.2f}, {high:.2f}]")  # fmt: skip
        print_share("registration_difference", "moved copies with a false change, or refused", name, false)
        print_share("registration_difference", "planted changes found", name, found)
        print_share("registration_difference", "pictures of two people refused", name, strangers)
    dated: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((data / "cxr_nih_pneumonia_normal/images").glob("*.jpg")):
        dated[path.stem.split("_")[-2]].append(path)
    pairs = [found[:2] for found in dated.values() if len(found) > 1]
    answers = [
        _compared(store, *(np.asarray(PIL.Image.open(path).convert("RGB")) for path in pair), tool) for pair in pairs
    ]
    name = "NIH, two dates of one patient"
    print_share("registration_difference", "refused", name, [float(answer is None) for answer in answers])


def _drawn_again(values: list[float]) -> Iterator[NDArray[np.float64]]:
    generator = np.random.default_rng(0)
    for _ in range(2_000):
        yield np.asarray(values)[generator.integers(0, len(values), len(values))]


def _moved(picture: NDArray[np.uint8], generator: Any) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A copy turned by up to 8°, scaled by up to 8 %, shifted by up to 6 % of its side, of another exposure and noisy;
    and the matrix (2, 3) that leads from a place (x, y) of the picture to the copy's."""
    height, width = picture.shape[:2]
    scale, turn = float(np.exp(generator.uniform(-0.08, 0.08))), float(np.radians(generator.uniform(-8, 8)))
    shift = generator.uniform(-0.06, 0.06, 2) * min(height, width)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([width, height]) / 2.0
    matrix = np.hstack([linear, (middle + shift - linear @ middle)[:, None]])
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2][::-1, [1, 0, 2]]
    planes = [ndimage.affine_transform(plane, back[:, :2], back[:, 2], order=1) for plane in
              picture.astype(np.float32).transpose(2, 0, 1)]  # fmt: skip
    copy = np.stack(planes, axis=2) * generator.uniform(0.85, 1.1) + generator.uniform(-5, 10)
    return (copy + generator.normal(0, 3, copy.shape)).clip(0, 255).astype(np.uint8), matrix


def _with_mass(picture: NDArray[np.uint8], generator: Any) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """A soft round change of 45 grey levels, a twelfth of the side wide, in a lit part; and its centre (x, y)."""
    height, width = picture.shape[:2]
    radius = 0.04 * min(height, width)
    lit = np.argwhere(ndimage.binary_erosion((picture.mean(axis=2) > 40)[::4, ::4], iterations=int(radius / 2))) * 4
    row, column = lit[generator.integers(len(lit))]
    y, x = np.mgrid[:height, :width]
    spot = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * (radius / 1.3) ** 2))[..., None]
    sign = generator.choice([-1, 1])
    return (picture + sign * 45.0 * spot).clip(0, 255).astype(np.uint8), (int(column), int(row))


def _error(
    store: ImageStore, picture: NDArray[np.uint8], moved: NDArray[np.uint8], matrix: NDArray[np.float64]
) -> float:
    """The median distance between where the true and the found transform lead, in px of the working size."""
    scale = 384 / max(picture.shape[:2])
    shape = (round(picture.shape[0] * scale), round(picture.shape[1] * scale))
    grey = [resized(one, shape).astype(np.float32).mean(axis=2) for one in (picture, moved)]
    found = alignment.align(*grey)
    y, x = np.mgrid[0.1:0.9:9j, 0.1:0.9:9j]
    places = np.stack([x.ravel() * picture.shape[1], y.ravel() * picture.shape[0]])
    true = (matrix[:, :2] @ places + matrix[:, 2:] + 0.5) * scale - 0.5
    ours = found.matrix[:, :2] @ ((places + 0.5) * scale - 0.5) + found.matrix[:, 2:]
    return float(np.median(np.hypot(*(true - ours))))


def _compared(store: ImageStore, present: NDArray[np.uint8], earlier: NDArray[np.uint8], tool: Any) -> Any:
    arguments = _image(store, present, tool, earlier=store.put_picture(earlier))
    try:
        return tool.run(arguments, store)
    except ToolRefusedError:
        return None


def _image(store: ImageStore, picture: NDArray[np.uint8], tool: Any, **stated: Any) -> Any:
    return tool.arguments(image=store.put_picture(picture), **stated)


MEASURES: dict[str, Callable[[Path, ImageStore], None]] = {
    "blood_smear_counts": smears,
    "chest_lungs": chest,
    "ct_volumes": volumes,
    "dermoscopy_abcd": dermoscopy,
    "fluorescent_nuclei": fluorescence,
    "fundus_bright_lesions": bright_lesions,
    "lesion_size": lesions,
    "registration_difference": registration,
}
