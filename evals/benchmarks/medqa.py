"""MedQA: questions in the style of the United States medical licensing examination, four options.

Jin, Pan, Oufattole, Weng, Fang, Szolovits: What Disease does this Patient Have? A Large-scale Open Domain Question
Answering Dataset from Medical Exams. Applied Sciences 11(14):6421, 2021, doi:10.3390/app11146421. MIT licence (of the
repository; the questions themselves were collected from the web). The shape of a record, content invented:

    {"question": "A 30-year-old man … Which of the following is the most likely cause?", "answer": "A cold",
     "options": {"A": "A sprain", "B": "A cold", "C": "A burn", "D": "A cut"}, "meta_info": "step1",
     "answer_idx": "B", "metamap_phrases": ["30 year old man", …]}

Traps: `answer` and `answer_idx` hold the answer. "A" alone is right in 27.7 of 100 test questions. Records have no ids:
a sample is called by its line. The development set is also MediQ's.

Not run on the published set: the loader is tested on a file in its format.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...core.case import Case
from ..benchmark import Benchmark
from ..sample import Sample
from .records import Record, chosen, lines, samples_of

EXPECTED = "MedQA records"


def samples(path: Path) -> Iterator[Sample]:
    """The samples of a file in the published format (`phrases_no_exclude_test.jsonl`), in its order."""
    return samples_of(path, _numbered(path), _made, EXPECTED)


def _numbered(path: Path) -> Iterator[Record]:
    for name, record in lines(path, EXPECTED):
        yield name, (int(name.removeprefix("line ")), record)


def _made(named: tuple[int, dict[str, Any]]) -> Iterator[Sample]:
    number, record = named
    case = Case(id=f"medqa-{number:05}", question=record["question"], options=record["options"])
    target = chosen(case.options, record["answer_idx"])
    if case.options[target.letter] != str(record["answer"]).strip():
        raise ValueError(f"answer_idx {target.letter} is not the answer {record['answer']!r}")
    yield Sample(case=case, target=target, group=case.id, facets={"step": str(record.get("meta_info", "unknown"))})


BENCHMARK = Benchmark(
    name="medqa",
    summary="United States licensing examination, four options",
    task="choice",
    licence="MIT",
    citation="Jin et al., What Disease does this Patient Have? A Large-scale Open Domain Question Answering Dataset "
    "from Medical Exams, Applied Sciences 11(14):6421, 2021, doi:10.3390/app11146421",
    published_as="questions/US/4_options/phrases_no_exclude_test.jsonl of MedQA (github.com/jind11/MedQA)",
    place="medqa/phrases_no_exclude_test.jsonl",
    samples=samples,
    tried=False,
)
