"""PMC-VQA: questions that a language model made from the captions of figures in papers, four options.

Zhang, Wu, Zhao, Lin, Zhang, Wang, Xie: PMC-VQA: Visual Instruction Tuning for Medical Visual Question Answering. 2023,
arXiv:2305.10415. The code is MIT; the card of the set states no licence, and the pictures have their papers'. The shape
of a row, content invented:

    Figure_path,Question,Answer,Choice A,Choice B,Choice C,Choice D,Answer_label
    PMC0000001_F1.jpg,What does the arrow show?,A spoon,A:A fork,B:A spoon,C:A knife,D:A cup,B

Read are the first version, with the answer's letter in `Answer_label`, and the second (`test_2.csv`), with the letter
in `Answer` and the `Caption` beside it. Some tables write "Anwser".

Traps: `Caption` and `Answer` hold the answer: neither is part of a case. Options begin with their letter, which is cut
off. Figures of one paper are one group. Rows have no ids: a sample is called by its row.

Not run on the published set: columns are those of the card (hub: xmcmic/PMC-VQA) and of the authors' loader, and the
loader is tested on a file in that format. Pictures are looked for in what their zips unpack to beside the table:
`images` of the first version, `figures` of the second, and the folders `images` and `images2` in them or beside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from ...core.case import Case
from ..benchmark import Benchmark
from ..sample import Sample
from .records import Record, chosen, picture, rows, samples_of

EXPECTED = "PMC-VQA rows"
FOLDERS = ("images", "figures", "images/images", "images/images2", "images2")


def samples(path: Path) -> Iterator[Sample]:
    """The samples of `test.csv`, `test_clean.csv` or `test_2.csv`, in its order."""
    folders = [path.parent / name for name in FOLDERS if (path.parent / name).is_dir()] or [path.parent]
    return samples_of(path, _numbered(path), partial(_made, folders, path.stem), EXPECTED)


def _numbered(path: Path) -> Iterator[Record]:
    for name, row in rows(path, EXPECTED):
        yield name, (int(name.removeprefix("row ")), row)


def _made(folders: Sequence[Path], table: str, named: tuple[int, dict[str, str]]) -> Iterator[Sample]:
    number, row = named
    options = {letter: re.sub(rf"^\s*{letter}\s*:", "", row[f"Choice {letter}"]).strip() for letter in "ABCD"}
    letter = (row.get("Answer_label") or row.get("Anwser_label") or row.get("Answer") or row["Anwser"]).strip()
    figure = row["Figure_path"].strip()
    pictures = next((folder for folder in folders if (folder / figure).is_file()), folders[0])
    case = Case(
        id=f"pmcvqa-{table}-{number:06}",
        question=row["Question"],
        options=options,
        images=(picture(pictures, figure),),
    )
    yield Sample(case=case, target=chosen(case.options, letter), group=figure.split("_")[0])


BENCHMARK = Benchmark(
    name="pmc_vqa",
    summary="questions about figures of papers, four options",
    task="choice",
    licence="none stated for the set (code MIT; pictures as their papers)",
    citation="Zhang et al., PMC-VQA: Visual Instruction Tuning for Medical Visual Question Answering, 2023, "
    "arXiv:2305.10415",
    published_as="test_clean.csv of PMC-VQA, with images.zip unpacked beside it (hub: xmcmic/PMC-VQA)",
    place="pmc_vqa/test_clean.csv",
    samples=samples,
    tried=False,
)
