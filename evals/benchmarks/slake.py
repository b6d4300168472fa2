"""SLAKE: questions about radiological pictures by physicians, English records only.

Liu, Zhan, Xu, Ma, Yang, Wu: SLAKE: A Semantically-Labeled Knowledge-Enhanced Dataset for Medical Visual Question
Answering. ISBI 2021, pages 1650-1654, doi:10.1109/ISBI48211.2021.9434010. CC BY 4.0. The shape of a record, content
invented:

    {"img_id": 7, "img_name": "xmlab7/source.jpg", "question": "Does the picture contain a spoon?", "answer": "No",
     "q_lang": "en", "location": "Abdomen", "modality": "CT", "answer_type": "CLOSED", "base_type": "vqa",
     "triple": ["vhead", "_", "_"], "qid": 70, "content_type": "Organ"}

The part "yesno" are CLOSED records with yes or no, the part "open" all others; the facet "answer type" tells them
apart. An answer with commas names several things; it is one text here.

Traps: `location`, `modality` and `triple` answer many of the questions: the first two are facets only. Half of the
records are Chinese (`q_lang`) and are left out. Several questions share a picture, which is their group.

Not run on the published set with its pictures: the records were read as others keep them (github.com/xiaoman-zhang/
PMC-VQA, Slake1.0/test.json), and the loader is tested on a file in their format. Pictures, `imgs.zip`, are unpacked to
`imgs` beside the file.
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
from .records import YES_NO, case_id, letter_for, listed, picture, samples_of, worded

EXPECTED = "SLAKE records"


def samples(path: Path, yes_no: bool) -> Iterator[Sample]:
    """The English samples of one part of `test.json`, in its order."""
    return samples_of(path, listed(path, EXPECTED), partial(_made, path.parent / "imgs", yes_no), EXPECTED)


def _made(pictures: Path, yes_no: bool, record: dict[str, Any]) -> Iterator[Sample]:
    answer = worded(record["answer"]).strip()
    kind = record["answer_type"].strip().upper()
    if record["q_lang"] != "en" or (kind == "CLOSED" and answer.lower() in YES_NO.values()) != yes_no:
        return
    case = Case(
        id=case_id("slake", record["qid"]),
        question=record["question"],
        options=YES_NO if yes_no else {},
        images=(picture(pictures, record["img_name"]),),
    )
    if not answer:
        raise ValueError("an empty answer")
    yield Sample(
        case=case,
        target=letter_for(YES_NO, answer) if yes_no else Answer(accepted=(answer,)),
        group=record["img_name"],
        facets={
            "answer type": kind,
            "modality": record["modality"],
            "organ": record["location"],
            "question type": record["content_type"],
        },
    )


_YES_NO = Benchmark(
    name="slake-yesno",
    summary="physicians' questions about radiological pictures, yes or no",
    task="choice",
    licence="CC BY 4.0",
    citation="Liu et al., SLAKE: A Semantically-Labeled Knowledge-Enhanced Dataset for Medical Visual Question "
    "Answering, ISBI 2021, pages 1650-1654, doi:10.1109/ISBI48211.2021.9434010",
    published_as="test.json of SLAKE, with imgs.zip unpacked beside it (hub: BoKelvin/SLAKE)",
    place="slake/test.json",
    samples=partial(samples, yes_no=True),
    tried=False,
)
PARTS = {
    "yesno": _YES_NO,
    "open": replace(
        _YES_NO,
        name="slake-open",
        summary="physicians' questions about radiological pictures, a few words",
        task="answer",
        samples=partial(samples, yes_no=False),
    ),
}
