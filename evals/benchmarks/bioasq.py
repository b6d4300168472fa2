"""BioASQ, phase B: questions of biomedical experts, answered with yes or no, with one fact or with a list.

Krithara, Nentidis, Bougiatiotis, Paliouras: BioASQ-QA: A manually curated corpus for Biomedical Question Answering.
Scientific Data 10:170, 2023, doi:10.1038/s41597-023-02068-4. CC BY 2.5, as BioASQ says. A real record, shortened:

    {"body": "What does the pembrolizumab companion diagnostic test assess?", "type": "factoid",
     "documents": ["http://www.ncbi.nlm.nih.gov/pubmed/28293123"], "id": "5be48c39133db5eb7800001d",
     "snippets": [{"text": "The initial approval and subsequent studies of pembrolizumab …", "document": …, …}],
     "ideal_answer": ["Administration of pembrolizumab requires …"], "exact_answer": [["PD-L1 status"]], …}

A factoid has one answer with its synonyms, a list several. Gold evidence are the PMIDs of `documents`. Questions of
type "summary" have no exact answer and are left out.

Traps: `ideal_answer` is the answer in words, and `snippets`, `concepts`, `triples` and `statements` were collected for
it: none is part of a case, so a case is a question alone. Some records carry an older wording in `_body` and `_type`.
"yes" alone is right in 65 of 100 questions. The snippets are a collection to search in, as bench/retrieval.py does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...core.case import Case
from ...core.errors import InputError
from ..benchmark import Benchmark, unreadable
from ..sample import Answer, Answers, Letter, Sample
from .records import YES_NO, Record, case_id, json_of, letter_for, samples_of, telling, texts, worded

EXPECTED = "BioASQ questions"
ENDING = "_golden.json"
TYPES = ("yesno", "factoid", "list", "summary")


def samples(path: Path, kind: str) -> Iterator[Sample]:
    """The samples of one type in a file `7B1_golden.json`, or in all of a folder in the order of their paths.

    Raises InputError when there is no file or one is of another format.
    """
    files = sorted(path.rglob(f"*{ENDING}")) if path.is_dir() else [path]
    if not files:
        raise InputError(expected=f"files *{ENDING} in {path.name}", got="none", fix="name the folder that holds them")
    ids: set[str] = set()
    for file in files:
        made = partial(_made, kind, file.name.removesuffix(ENDING))
        yield from samples_of(file, _questions(file), made, EXPECTED, ids)


def _questions(path: Path) -> Iterator[Record]:
    found = json_of(path, EXPECTED)
    if not isinstance(found, dict) or not isinstance(found.get("questions"), list):
        raise unreadable(path, EXPECTED, ValueError("no list of questions"))
    for number, question in enumerate(found["questions"], 1):
        yield f"question {number}", question


def _made(kind: str, batch: str, record: dict[str, Any]) -> Iterator[Sample]:
    if record["type"] not in TYPES:
        raise ValueError(f"{record['type']!r} is none of the types {', '.join(TYPES)}")
    if record["type"] != kind:
        return
    options = YES_NO if kind == "yesno" else {}
    case = Case(id=case_id("bioasq", record["id"]), question=record["body"], options=options)
    pmids = dict.fromkeys(str(link).rstrip("/").rsplit("/", 1)[-1] for link in texts(record["documents"]))
    yield Sample(
        case=case,
        target=_target(kind, record["exact_answer"]),
        group=case.id,
        facets={"type": kind, "batch": batch},
        gold=tuple(pmids),
        gives_away=telling(record.get("ideal_answer")),
    )


def _target(kind: str, exact: Any) -> Letter | Answer | Answers:
    if kind == "yesno":
        return letter_for(YES_NO, exact)
    items = tuple(map(_names, exact)) if isinstance(exact, list) else ()
    if not items or not all(items):
        raise ValueError(f"no answer in {exact!r}")
    return Answers(items=items) if kind == "list" else Answer(accepted=tuple(name for item in items for name in item))


def _names(item: Any) -> tuple[str, ...]:
    """The synonyms of one answer; some batches write a text where others write a list of texts."""
    names = (worded(name).strip() for name in (item if isinstance(item, list) else [item]))
    return tuple(name for name in names if name)


_YES_NO = Benchmark(
    name="bioasq-yesno",
    summary="experts' biomedical questions, yes or no",
    task="choice",
    licence="CC BY 2.5",
    citation="Krithara et al., BioASQ-QA: A manually curated corpus for Biomedical Question Answering, "
    "Scientific Data 10:170, 2023, doi:10.1038/s41597-023-02068-4",
    published_as="the golden batches *_golden.json of BioASQ tasks 7b to 9b (bioasq.org, after registration)",
    place="bioasq_golden",
    samples=partial(samples, kind="yesno"),
)
PARTS = {
    "yesno": _YES_NO,
    "factoid": replace(
        _YES_NO,
        name="bioasq-factoid",
        summary="experts' biomedical questions, one fact",
        task="answer",
        samples=partial(samples, kind="factoid"),
    ),
    "list": replace(
        _YES_NO,
        name="bioasq-list",
        summary="experts' biomedical questions, a list",
        task="answers",
        samples=partial(samples, kind="list"),
    ),
}
