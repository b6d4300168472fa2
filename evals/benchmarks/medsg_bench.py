"""MedSG-Bench: a box to be found in a sequence of pictures: what differs, the same organ, the same patch, a named one.

Yue, Zhang, Jia, Xu, Han, Liu, Wang: MedSG-Bench: A Benchmark for Medical Image Sequences Grounding. 2025,
arXiv:2505.11852. CC BY 4.0. The shape of a record, content invented:

    {"task": "referring", "images": ["MedSG-Bench/MedSG-Bench/Task8/a.png", "MedSG-Bench/MedSG-Bench/Task8/b.png"],
     "question": "Please find the bounding box coordinates for the area described by:
                  <|object_ref_start|>Spoon<|object_ref_end|>.", "answer": [91, 52, 229, 258], "size": [336, 336]}

The box is (x1, y1, x2, y2) in px of a picture of 336 × 336, or of `size` in the task "multi_view". On which of the
pictures it lies stands, if anywhere, in the words of the question (of several views and of two kinds of pictures it
does, of a named thing it does not), and the published evaluation compares boxes alone: so do samples here, and "the
first image" of a target means the one that the question asks for. The folder MedSG-Train is never read. The markup of
the question is taken off. An answer's boxes are those of the evidence that its claims cite; several are not one, so all
but the right one count as false.

Not run on the published set: fields and coordinates are those that the authors' evaluation reads and that results of it
show (github.com/XavierSylus/MedSG-Bench, a copy), and the loader is tested on files in that format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ...core.case import Case
from ...core.errors import InputError
from ...tools.card import Box
from ..benchmark import Benchmark
from ..sample import Boxes, Sample
from .records import Record, case_id, listed, numbers, picture, samples_of, texts

EXPECTED = "MedSG-Bench records"
PREFIX = "MedSG-Bench/MedSG-Bench/"
SIDE = 336
REFERENCE = re.compile(r"<\|object_ref_start\|>(.*?)<\|object_ref_end\|>")


def samples(path: Path) -> Iterator[Sample]:
    """The samples of the files `Task1.json` to `Task8.json`, file by file in the order of their names; they lie in a
    folder or in the one called `MedSG-Bench` in it, as on the hub."""
    folder = path / "MedSG-Bench" if (path / "MedSG-Bench").is_dir() else path
    files = sorted(folder.glob("Task[1-8].json"))
    if not files:
        raise InputError(
            expected=f"files Task1.json to Task8.json in {path.name} or {path.name}/MedSG-Bench", got="none",
            fix="name the folder MedSG-Bench",
        )  # fmt: skip
    for file in files:
        yield from samples_of(file, _numbered(file), partial(_made, folder, file.stem), EXPECTED)


def _numbered(path: Path) -> Iterator[Record]:
    for name, record in listed(path, EXPECTED):
        yield name, (int(name.removeprefix("record ")), record)


def _made(folder: Path, file: str, named: tuple[int, dict[str, Any]]) -> Iterator[Sample]:
    number, record = named
    images = tuple(picture(folder, name.removeprefix(PREFIX)) for name in texts(record["images"]))
    label = REFERENCE.search(record["question"])
    width, height = numbers(record["size"], 2) if record["task"] == "multi_view" else (SIDE, SIDE)
    case = Case(id=case_id("medsg", file, f"{number:05}"), question=plain(record["question"]), images=images)
    yield Sample(
        case=case,
        target=Boxes(boxes=((label[1].strip() if label else record["task"], box_in(width, height, record["answer"])),)),
        group=record["images"][0],
        facets={"task": record["task"]},
    )


def plain(question: str) -> str:
    """A question without the markup of the models it was written for."""
    return re.sub(r"<\|[a-z_]+\|>|<image>\s*", "", question).strip()


def box_in(width: float, height: float, answer: object) -> Box:
    """A box in whole px, checked to lie on a picture of that size. Raises ValueError."""
    x0, y0, x1, y1 = map(round, numbers(answer, 4))
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(f"{answer} is no box on a picture of {width:g} × {height:g}")
    return x0, y0, x1, y1


BENCHMARK = Benchmark(
    name="medsg_bench",
    summary="a box to be found in a sequence of pictures",
    task="boxes",
    licence="CC BY 4.0",
    citation="Yue et al., MedSG-Bench: A Benchmark for Medical Image Sequences Grounding, 2025, arXiv:2505.11852",
    published_as="MedSG-Bench/Task1.json to Task8.json, each TaskN.zip unpacked beside (hub: MedSG-Bench/MedSG-Bench)",
    place="MedSG-Bench",
    samples=samples,
    tried=False,
)
