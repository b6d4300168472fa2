"""VQA-RAD: questions that clinicians asked about radiological pictures, answered with yes or no or with a few words.

Lau, Gayen, Ben Abacha, Demner-Fushman: A dataset of clinically generated visual questions and answers about radiology
images. Scientific Data 5:180251, 2018, doi:10.1038/sdata.2018.251. CC0 1.0. A real record:

    {"qid": 4, "image_name": "synpic28602.jpg", "image_organ": "CHEST", "answer": "ultrasound", "answer_type": "OPEN",
     "question_type": "MODALITY", "question": "What type of imaging does this not represent?",
     "phrase_type": "freeform"}

Of the 2,262 records of the development set 1,350 are CLOSED. 1,259 of them answer yes or no: the part "yesno". The
others choose between what the question names ("AP or PA"), without published options: they are asked in the part "open"
with the 912 OPEN ones, and the facet "answer type" tells them apart.

Traps: the pictures of the official test set all occur in the training set too: a picture is a group, and a split goes
by picture. `image_organ` and `question_type` answer some of the questions ("ORGAN"): facets only. A few
answers are numbers in the file. "no" alone is right in 51 of 100 yes-or-no records.
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

EXPECTED = "VQA-RAD records"


def samples(path: Path, yes_no: bool) -> Iterator[Sample]:
    """The samples of one part of a file in the format of `dev.json`, in its order; pictures lie in `images`."""
    return samples_of(path, listed(path, EXPECTED), partial(_made, path.parent / "images", yes_no), EXPECTED)


def _made(pictures: Path, yes_no: bool, record: dict[str, Any]) -> Iterator[Sample]:
    answer = worded(record["answer"]).strip()
    kind = record["answer_type"].strip().upper()
    if (kind == "CLOSED" and answer.lower() in YES_NO.values()) != yes_no:
        return
    case = Case(
        id=case_id("vqarad", record["qid"]),
        question=record["question"],
        options=YES_NO if yes_no else {},
        images=(picture(pictures, record["image_name"]),),
    )
    if not answer:
        raise ValueError("an empty answer")
    yield Sample(
        case=case,
        target=letter_for(YES_NO, answer) if yes_no else Answer(accepted=(answer,)),
        group=record["image_name"],
        facets={
            "data set": "VQA-RAD",
            "answer type": kind,
            "organ": record["image_organ"].strip().upper(),
            "question type": record["question_type"].strip().upper(),
        },
    )


_YES_NO = Benchmark(
    name="vqa_rad-yesno",
    summary="clinicians' questions about radiological pictures, yes or no",
    task="choice",
    licence="CC0 1.0",
    citation="Lau et al., A dataset of clinically generated visual questions and answers about radiology images, "
    "Scientific Data 5:180251, 2018, doi:10.1038/sdata.2018.251",
    published_as="the records of VQA-RAD as a JSON list, pictures in images beside it (osf.io/89kps)",
    place="vqa_rad/dev.json",
    samples=partial(samples, yes_no=True),
)
PARTS = {
    "yesno": _YES_NO,
    "open": replace(
        _YES_NO,
        name="vqa_rad-open",
        summary="clinicians' questions about radiological pictures, a few words",
        task="answer",
        samples=partial(samples, yes_no=False),
    ),
}
