"""PathVQA: questions generated from the captions of pathology textbooks, with pictures.

He, Zhang, Mou, Xing, Xie: PathVQA: 30000+ Questions for Medical Visual Question Answering. 2020, arXiv:2003.10286. MIT
licence (of the repository; the pictures come from textbooks and the PEIR library). The shape of a record, content
invented:

    {"image": "test_0042", "question": "what is shown?", "answer": "a spoon"}

The release is a pickle, `pvqa/qas/test/test_qa.pkl`, a list of such records, with pictures in `pvqa/images/test`. A
pickle executes what it holds, so this project reads none: write the list as JSON, `test_qa.json`, where you trust it.

Traps: the questions were made by rules from captions, and may ask for what a caption says and no picture shows. Records
have no ids: a sample is called by its place in the list. Several questions share a picture, which is their group.

Not run on the published set: field names and folders are those that others' loaders read, and the loader is tested on a
file in that format.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...core.case import Case
from ..benchmark import Benchmark
from ..sample import Answer, Sample
from .records import YES_NO, Record, letter_for, listed, picture, samples_of, worded

EXPECTED = "PathVQA records"


def samples(path: Path, yes_no: bool) -> Iterator[Sample]:
    """The samples of one part of `SPLIT_qa.json`, in its order.

    Pictures lie where the release has them, in `images/SPLIT` three folders up.
    """
    pictures = path.parents[2] / "images" / path.parent.name
    return samples_of(path, _numbered(path), partial(_made, pictures, yes_no), EXPECTED)


def _numbered(path: Path) -> Iterator[Record]:
    for name, record in listed(path, EXPECTED):
        yield name, (int(name.removeprefix("record ")), record)


def _made(pictures: Path, yes_no: bool, named: tuple[int, dict[str, Any]]) -> Iterator[Sample]:
    number, record = named
    answer = worded(record["answer"]).strip()
    if (answer.lower() in YES_NO.values()) != yes_no:
        return
    case = Case(
        id=f"pathvqa-{pictures.name}-{number:05}",
        question=record["question"],
        options=YES_NO if yes_no else {},
        images=(picture(pictures, f"{worded(record['image'])}.jpg"),),
    )
    if not answer:
        raise ValueError("an empty answer")
    target = letter_for(YES_NO, answer) if yes_no else Answer(accepted=(answer,))
    yield Sample(case=case, target=target, group=record["image"])


_YES_NO = Benchmark(
    name="pathvqa-yesno",
    summary="questions about pathology pictures, yes or no",
    task="choice",
    licence="MIT",
    citation="He et al., PathVQA: 30000+ Questions for Medical Visual Question Answering, 2020, arXiv:2003.10286",
    published_as="pvqa/qas/test/test_qa.pkl of PathVQA written as JSON, and pvqa/images (github.com/UCSD-AI4H/PathVQA)",
    place="pathvqa/pvqa/qas/test/test_qa.json",
    samples=partial(samples, yes_no=True),
    tried=False,
)
PARTS = {
    "yesno": _YES_NO,
    "open": replace(
        _YES_NO,
        name="pathvqa-open",
        summary="questions about pathology pictures, a few words",
        task="answer",
        samples=partial(samples, yes_no=False),
    ),
}
