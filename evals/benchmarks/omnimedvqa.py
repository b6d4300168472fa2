"""OmniMedVQA: questions about pictures of 73 other data sets, two to four options.

Hu, Li, Lu, Shao, He, Qiao, Luo: OmniMedVQA: A New Large-Scale Comprehensive Evaluation Benchmark for Medical LVLM. CVPR
2024, pages 22170-22183, arXiv:2402.09181. Every source keeps its own licence; the set states none of its own. The shape
of a record, content invented:

    {"dataset": "Spoons", "question_id": "Spoons_0007", "question_type": "Disease Diagnosis",
     "question": "What is seen here?", "gt_answer": "A spoon", "image_path": "Images/Spoons/7.png",
     "option_A": "A fork", "option_B": "A spoon", "option_C": "A cup", "option_D": "A plate",
     "modality_type": "Photography"}

The right letter is that of the one option that reads like `gt_answer`: to the letter, else in any case of letters, else
also without a full stop. Records where none or two do are left out, and their number is told.

Traps: `modality_type` answers the questions of type "Modality Recognition": a facet only. The path of a picture names
its data set and sometimes its class: no path may be shown to a model. One file ("Chest CT Scan") calls the field
`modality` in a record.

Not run on the published set: fields are those that others report of it (hub: foreverbeliever/OmniMedVQA), and the
loader is tested on a file in that format.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ...core.case import Case
from ...core.errors import InputError
from ..benchmark import Benchmark
from ..sample import Letter, Sample
from .records import case_id, listed, picture, samples_of, worded

EXPECTED = "OmniMedVQA records"
RECORDS = "QA_information/Open-access"


def samples(path: Path) -> Iterator[Sample]:
    """The samples of the open part, file by file in the order of their names. Raises InputError."""
    files = sorted((path / RECORDS).glob("*.json"))
    if not files:
        raise InputError(
            expected=f"files {RECORDS}/*.json in {path.name}", got="none", fix="name the folder OmniMedVQA as unpacked"
        )
    ids: set[str] = set()
    without: list[str] = []
    for file in files:
        yield from samples_of(file, listed(file, EXPECTED), partial(_made, path, without), EXPECTED, ids)
    if without:
        told = "polyclinic: OmniMedVQA: records left out, as their answer is no single one of their options: %s (%s%s)"
        more = ", …" if len(without) > 3 else ""
        logging.getLogger(__name__).warning(told, f"{len(without):,}", ", ".join(without[:3]), more)


def _made(folder: Path, without: list[str], record: dict[str, Any]) -> Iterator[Sample]:
    options = {letter: worded(record.get(f"option_{letter}") or "").strip() for letter in "ABCD"}
    options = {letter: text for letter, text in options.items() if text}
    right = _right(options, str(record["gt_answer"]).strip())
    if right is None:
        without.append(str(record["question_id"]))
        return
    case = Case(
        id=case_id("omnimedvqa", record["question_id"]),
        question=record["question"],
        options=options,
        images=(picture(folder, record["image_path"]),),
    )
    yield Sample(
        case=case,
        target=Letter(letter=right),
        group=record["image_path"],
        facets={
            "modality": record.get("modality_type") or record["modality"],
            "question type": record["question_type"],
            "set": record["dataset"],
        },
    )


def _right(options: Mapping[str, str], answer: str) -> str | None:
    """The letter of the one option that reads `answer`, as exactly as any option does; None for none or several."""
    for read in (str, str.casefold, lambda text: text.casefold().removesuffix(".")):
        letters = [letter for letter, option in options.items() if read(option) == read(answer)]
        if letters:
            return letters[0] if len(letters) == 1 else None
    return None


BENCHMARK = Benchmark(
    name="omnimedvqa",
    summary="questions about pictures of many sets, two to four options",
    task="choice",
    licence="none of its own; every source keeps its licence",
    citation="Hu et al., OmniMedVQA: A New Large-Scale Comprehensive Evaluation Benchmark for Medical LVLM, CVPR 2024, "
    "pages 22170-22183, arXiv:2402.09181",
    published_as="OmniMedVQA.zip, unpacked (hub: foreverbeliever/OmniMedVQA)",
    place="OmniMedVQA",
    samples=samples,
    tried=False,
)
