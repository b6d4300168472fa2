"""The labelled sets that recipes train on and evaluations run on: their items, and how their labels are written.

It needs no torch, and trains and measures nothing.
"""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .items import Item, find_folder, try_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Colour: TypeAlias = tuple[int, int, int]

CELLS = {"RBC": "RBC", "WBC": "WBC", "Platelets": "platelet"}
"""The names of cells as BCCD writes them, and as they are called here."""
SAME_FIELD = {"BloodImage_00038": "BloodImage_00037"}
"""Pictures of BCCD that show what another one shows."""
TUMOURS: dict[str, Colour] = {
    "glioma": (0, 255, 255), "meningioma": (255, 255, 0), "pituitary adenoma": (255, 0, 255),
}  # fmt: skip
TUMOUR_TOLERANCE = 150
BLEEDS: dict[str, Colour] = {
    "epidural": (255, 0, 0), "intraparenchymal": (0, 0, 255), "intraventricular": (255, 255, 0),
    "subarachnoid": (0, 255, 255), "subdural": (0, 255, 0),
}  # fmt: skip
BLEED_TOLERANCE = 120
"""A pixel has a colour where the differences of its three channels from it add up to less than the tolerance."""
CHESTS = {"pneumonia": "pneumonia", "no_finding": "no finding"}


def blood_cells(data: Path) -> list[Item]:
    """BCCD: pictures with the boxes of their cells, and which part of the published split each belongs to."""
    folder = find_folder(data, "bccd_blood", holding="Annotations")
    parts = {
        name: path.stem
        for path in sorted((folder / "ImageSets/Main").glob("*.txt"))
        for name in path.read_text(encoding="utf-8").split()
    }
    return [
        Item(
            id=path.stem,
            group=SAME_FIELD.get(path.stem, path.stem),
            files={"picture": path, "boxes": folder / "Annotations" / f"{path.stem}.xml"},
            facts={"part": parts[path.stem]} if path.stem in parts else {},
        )
        for path in sorted((folder / "JPEGImages").glob("*.jpg"))
    ]


def chase(data: Path) -> list[Item]:
    """CHASE_DB1: fundus photographs with the vessels of two observers; a group is a child."""
    folder = find_folder(data, "fundus_chasedb1", holding="Image_01L_1stHO.png")
    return [
        Item(
            id=path.stem,
            group=path.stem[:-1],
            files={
                "picture": path,
                "vessels": path.with_name(f"{path.stem}_1stHO.png"),
                "second": path.with_name(f"{path.stem}_2ndHO.png"),
            },
        )
        for path in sorted(folder.glob("Image_*.jpg"))
    ]


def drive(data: Path) -> list[Item]:
    """The training part of DRIVE: fundus photographs with their vessels; none where the set is not there."""
    folder = try_folder(data, "fundus_drive", holding="training/1st_manual")
    pictures = sorted((folder / "training/images").glob("*_training.png")) if folder else []
    manual = {path: path.parents[1] / "1st_manual" / f"{path.stem[:2]}_manual1.gif" for path in pictures}
    return [Item(id=path.stem, group=path.stem, files={"picture": path, "vessels": manual[path]}) for path in pictures]


def nuclei(data: Path) -> list[Item]:
    """The sample of BBBC038: micrographs, stained or in shades of grey, with a number for each nucleus's pixels."""
    folder = find_folder(data, "nuclei_dsb2018", holding="counts.csv")
    with (folder / "counts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Item(
            id=Path(row["filename"]).stem,
            group=Path(row["filename"]).stem,
            kind=row["kind"],
            files={
                "picture": folder / "images" / row["filename"],
                "labels": folder / "instance_labels" / row["filename"],
            },
        )
        for row in rows
    ]


def tumours(data: Path) -> list[Item]:
    """BRISC 2025: MR slices with their tumour in the colour of its type, which is the item's kind."""
    import numpy as np

    folder = find_folder(data, "mri_brisc_seg", holding="masks")
    items = []
    for path in sorted((folder / "images").glob("*.png")):
        masks = folder / "masks" / path.name
        amounts = np.bincount(typed(masks, list(TUMOURS.values()), TUMOUR_TOLERANCE).ravel(), minlength=4)[1:]
        kind = list(TUMOURS)[int(amounts.argmax())]
        items.append(Item(id=path.stem, group=path.stem, kind=kind, files={"picture": path, "types": masks}))
    return items


def haemorrhages(data: Path) -> list[Item]:
    """BHSD: CT slices with their blood in the colour of its type; a group is a volume."""
    folder = find_folder(data, "ct_brain_hemorrhage_seg", holding="masks")
    return [
        Item(id=path.stem, group=path.stem[:3], files={"picture": path, "types": folder / "masks" / path.name})
        for path in sorted((folder / "images").glob("*.png"))
    ]


def chests(data: Path) -> list[Item]:
    """ChestX-ray8: radiographs with the label pneumonia or no finding, which is the kind; a group is a patient."""
    folder = find_folder(data, "cxr_nih_pneumonia_normal", holding="images")
    return [
        Item(id=path.stem, group=path.stem.split("_")[-2], kind=kind, files={"picture": path})
        for start, kind in CHESTS.items()
        for path in sorted((folder / "images").glob(f"{start}_*.jpg"))
    ]


def cells_in(path: Path) -> list[tuple[str, tuple[float, float, float, float]]]:
    """The labelled cells of a file of BCCD and their boxes [x0, y0, x1, y1) in px, without empty boxes.

    Raises ValueError for a file that is no XML.
    """
    found = []
    try:
        tree = ET.parse(path)  # noqa: S314 - the user's own data
    except ET.ParseError as error:
        raise ValueError(f"{path.name}: {error}") from error
    for cell in tree.iter("object"):
        x0, y0, x1, y1 = (float(cell.findtext(f"bndbox/{side}", "nan")) for side in ("xmin", "ymin", "xmax", "ymax"))
        if x1 > x0 and y1 > y0:
            found.append((CELLS[cell.findtext("name", "")], (x0, y0, x1, y1)))
    return found


def typed(path: Path, colours: Sequence[Colour], tolerance: int) -> NDArray[np.uint8]:
    """Types (H, W) from a mask in colours: 0 none, then the colours from 1."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as picture:
        rgb = np.asarray(picture.convert("RGB")).astype(np.int16)
    types = np.zeros(rgb.shape[:2], dtype=np.uint8)
    for number, colour in enumerate(colours, 1):
        types[np.abs(rgb - np.array(colour)).sum(axis=2) < tolerance] = number
    return types
