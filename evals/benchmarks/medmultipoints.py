"""MedMultiPoints: polyps, instruments and sperm cells to be pointed to and counted.

Gautam, Riegler, Halvorsen: Point, Detect, Count: Multi-Task Medical Image Understanding with Instruction-Tuned
Vision-Language Models. 2025, arXiv:2505.16647. CC BY-NC 4.0, as others read the licence file; the card states none. The
shape of a row, content invented:

    {"image_sha256": "0a1b…", "img_size": [640, 480], "points": [[12.5, 30.0], [100.0, 200.5]],
     "bbox": [[2, 20, 22, 40], …], "count": 2, "label": "spoon", "collection_method": "counting",
     "classification": "two spoons", "organ": "kitchen"}

Points are (x, y) in px. Traps: `count`, `bbox` and `classification` tell the answer: none is part of a case. A count
that is not the number of points is refused. A row without points counts too: nothing is there. Rows of one picture are
one group; rows have no ids, a sample is called by its line. All rows of the card are called "train", and a model that
was tuned on the set has seen them: the authors' own test items (`instruction_dataset/multi-task-test.jsonl`) are not
read. `label` is a facet; the question says "normal sperm" where the set writes "normal". A point is found by a box
around it, of those that the claims of an answer cite: what else points to a place, an answer here does not have.

Not run on the published set: columns are those of the authors' card (hub: SimulaMet/MedMultiPoints), which are Arrow
files; read is what `datasets` writes of them with `to_json` less the pictures, and these as the card's snippet saves
them, `MedMultiPoints-images/SHA256.jpg` or `.png`. The loader is tested on a file in that format.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ...core.case import Case
from ..benchmark import Benchmark
from ..sample import Points, Sample
from .records import Record, lines, numbers, picture, samples_of, whole, worded

EXPECTED = "MedMultiPoints rows"
PICTURES = "MedMultiPoints-images"
LABELS = {"normal": "normal sperm", "pinhead": "pinhead sperm", "cluster": "sperm cluster", "polyps": "polyp"}
"""What is asked for by what the set writes, where that says too little."""


def samples(path: Path) -> Iterator[Sample]:
    """The samples of `train.jsonl`, in its order; pictures lie in `MedMultiPoints-images` beside it."""
    return samples_of(path, _numbered(path), partial(_made, path.parent / PICTURES), EXPECTED)


def _numbered(path: Path) -> Iterator[Record]:
    for name, row in lines(path, EXPECTED):
        yield name, (int(name.removeprefix("line ")), row)


def _made(pictures: Path, named: tuple[int, dict[str, Any]]) -> Iterator[Sample]:
    number, row = named
    width, height = numbers(row["img_size"], 2)
    points = tuple((x, y) for x, y in (numbers(point, 2) for point in row["points"]))
    if len(points) != whole(row["count"]):
        raise ValueError(f"count {row['count']} beside {len(points)} points")
    outside = [point for point in points if not (0 <= point[0] <= width and 0 <= point[1] <= height)]
    if outside:
        raise ValueError(f"the point {outside[0]} is not on a picture of {width:g} × {height:g}")
    label = LABELS.get(row["label"].strip(), row["label"].strip())
    name = worded(row["image_sha256"])
    ending = next((ending for ending in (".jpg", ".png") if (pictures / f"{name}{ending}").is_file()), ".jpg")
    case = Case(
        id=f"medmultipoints-{number:05}",
        question=f"Point to every {label} in the image. How many are there?",
        images=(picture(pictures, f"{name}{ending}"),),
    )
    yield Sample(
        case=case,
        target=Points(points=tuple((label, point) for point in points)),
        group=name,
        facets={"label": row["label"].strip(), "organ": row["organ"]},
    )


BENCHMARK = Benchmark(
    name="medmultipoints",
    summary="things to be pointed to and counted",
    task="points",
    licence="CC BY-NC 4.0",
    citation="Gautam et al., Point, Detect, Count: Multi-Task Medical Image Understanding with Instruction-Tuned "
    "Vision-Language Models, 2025, arXiv:2505.16647",
    published_as="the rows of MedMultiPoints as JSON lines and its pictures by hash (hub: SimulaMet/MedMultiPoints)",
    place="medmultipoints/train.jsonl",
    samples=samples,
    tried=False,
)
