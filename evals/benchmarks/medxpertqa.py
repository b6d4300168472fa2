"""MedXpertQA: questions of specialist board level, ten options with text alone, five with pictures.

Zuo, Qu, Li, Chen, Zhu, Hua, Zhang, Ding, Zhou: MedXpertQA: Benchmarking Expert-Level Medical Reasoning and
Understanding. 2025, arXiv:2501.18362. MIT licence. The shape of a record, content invented:

    {"id": "MM-7", "question": "A man fell on his hand, see Figure A. What is next?\\nAnswer Choices: (A) Rest …",
     "options": {"A": "Rest", "B": "A cast", …}, "label": "B", "images": ["MM-7-a.jpeg"],
     "medical_task": "Treatment", "body_system": "Skeletal", "question_type": "Reasoning"}

`question` ends with the options written out: they are cut off, as the case has them as options.

Not run on the published set: the field names are those of the authors' preparation notebook and evaluation files
(github.com/TsinghuaC3I/MedXpertQA), and the loader is tested on a file in their format. Pictures, `images.zip` of the
release, are unpacked to `images`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...core.case import Case
from ..benchmark import Benchmark
from ..sample import Sample
from .records import case_id, chosen, lines, picture, samples_of, texts

EXPECTED = "MedXpertQA records"
CHOICES = "\nAnswer Choices:"


def samples(path: Path) -> Iterator[Sample]:
    """The samples of `Text/test.jsonl` or `MM/test.jsonl`, in its order; pictures lie in `images` beside `MM`."""
    return samples_of(path, lines(path, EXPECTED), partial(_made, path.parent.parent / "images"), EXPECTED)


def _made(pictures: Path, record: dict[str, Any]) -> Iterator[Sample]:
    case = Case(
        id=case_id("medxpertqa", record["id"]),
        question=record["question"].split(CHOICES)[0],
        options=record["options"],
        images=tuple(picture(pictures, name) for name in texts(record.get("images", []))),
    )
    yield Sample(
        case=case,
        target=chosen(case.options, record["label"]),
        group=case.id,
        facets={
            "task": record["medical_task"],
            "body system": record["body_system"],
            "question type": record["question_type"],
        },
    )


_TEXT = Benchmark(
    name="medxpertqa-text",
    summary="specialist board questions, ten options",
    task="choice",
    licence="MIT",
    citation="Zuo et al., MedXpertQA: Benchmarking Expert-Level Medical Reasoning and Understanding, 2025, "
    "arXiv:2501.18362",
    published_as="Text/test.jsonl of MedXpertQA (hub: TsinghuaC3I/MedXpertQA)",
    place="medxpertqa/Text/test.jsonl",
    samples=samples,
    tried=False,
)
PARTS = {
    "text": _TEXT,
    "mm": replace(
        _TEXT,
        name="medxpertqa-mm",
        summary="specialist board questions with pictures, five options",
        published_as="MM/test.jsonl of MedXpertQA, with images.zip unpacked (hub: TsinghuaC3I/MedXpertQA)",
        place="medxpertqa/MM/test.jsonl",
    ),
}
