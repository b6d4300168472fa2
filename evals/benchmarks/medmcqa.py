"""MedMCQA: questions of Indian medical entrance examinations with four options, here the development set.

Pal, Umapathi, Sankarasubbu: MedMCQA: A Large-scale Multi-Subject Multi-Choice Dataset for Medical domain Question
Answering. CHIL 2022, PMLR 174:248-260. The repository says MIT, the hub's card Apache 2.0. A real record:

    {"question": "Which of the following is not true for myelinated nerve fibers:", "exp": null, "cop": 1,
     "opa": "Impulse through myelinated fibers is slower than non-myelinated fibers", "opb": …, "opc": …, "opd": …,
     "subject_name": "Physiology", "topic_name": null,
     "id": "45258d3d-b974-44dd-a161-c3fccbdadd88", "choice_type": "multi"}

Traps: `exp` explains the answer and often begins with its letter. `choice_type` is "multi" in a third of the records,
yet each has one right option: it is a mislabel and is not read. `cop` counts from 1 here, and from 0 on the hub: a file
with a 0 is refused rather than shifted. "A" alone is right in 32 of 100 records.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...core.case import Case
from ..benchmark import Benchmark
from ..sample import Letter, Sample
from .records import case_id, lettered, lines, samples_of, telling

EXPECTED = "MedMCQA records"
LETTERS = {1: "A", 2: "B", 3: "C", 4: "D"}


def samples(path: Path) -> Iterator[Sample]:
    """The samples of a file in the published format (`dev.json`: one record per line), in its order."""
    return samples_of(path, lines(path, EXPECTED), _made, EXPECTED)


def _made(record: dict[str, Any]) -> Iterator[Sample]:
    options = lettered(record[name] for name in ("opa", "opb", "opc", "opd"))
    case = Case(id=case_id("medmcqa", record["id"]), question=record["question"], options=options)
    if record["cop"] not in LETTERS:
        raise ValueError(f"cop {record['cop']} is none of {', '.join(map(str, LETTERS))}")
    yield Sample(
        case=case,
        target=Letter(letter=LETTERS[record["cop"]]),
        group=case.id,
        facets={"subject": record["subject_name"]},
        gives_away=telling(record.get("exp")),
    )


BENCHMARK = Benchmark(
    name="medmcqa",
    summary="Indian entrance examinations, four options",
    task="choice",
    licence="MIT (repository); Apache 2.0 (hub)",
    citation="Pal et al., MedMCQA: A Large-scale Multi-Subject Multi-Choice Dataset for Medical domain Question "
    "Answering, CHIL 2022, PMLR 174:248-260",
    published_as="dev.json of the MedMCQA release (github.com/medmcqa/medmcqa)",
    place="medmcqa_dev/dev.json",
    samples=samples,
)
