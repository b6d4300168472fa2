"""PubMedQA: yes, no or maybe, from the abstract of a paper without its conclusion.

Jin, Dhingra, Liu, Cohen, Lu: PubMedQA: A Dataset for Biomedical Research Question Answering. EMNLP 2019,
arXiv:1909.06146. MIT licence. A real record, shortened, PMID 10808977:

    "QUESTION": "Can tailored interventions increase mammography use among HMO women?",
    "CONTEXTS": ["Telephone counseling and tailored print communications have emerged as …", …],
    "LABELS": ["BACKGROUND", …], "MESHES": ["Cost-Benefit Analysis", …], "YEAR": "2000",
    "reasoning_required_pred": "yes", "reasoning_free_pred": "no",
    "final_decision": "yes",
    "LONG_ANSWER": "The effects of the intervention were most pronounced after the first intervention. …"

Traps: `LONG_ANSWER` is the conclusion, and the `*_pred` fields are answers too: none is ever part of a case. An index
that holds the paper itself holds the conclusion. "yes" alone is right in 55 of 100 records.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...core.case import Case
from ..benchmark import Benchmark, unreadable
from ..sample import Sample
from .records import Record, json_of, letter_for, samples_of, telling, texts

OPTIONS = {"A": "yes", "B": "no", "C": "maybe"}
EXPECTED = "PubMedQA records by PMID"


def samples(path: Path) -> Iterator[Sample]:
    """The samples of a file in the published format (`ori_pqal.json`, `pqal_dev.json`), in the order of their PMIDs.

    Raises InputError when the file is missing or of another format.
    """
    return samples_of(path, _by_pmid(path), _made, EXPECTED)


def _by_pmid(path: Path) -> Iterator[Record]:
    records = json_of(path, EXPECTED)
    if not isinstance(records, dict) or not all(pmid.isdecimal() for pmid in records):
        raise unreadable(path, EXPECTED, ValueError("JSON, but no records by PMID"))
    for pmid in sorted(records, key=int):
        yield f"PMID {pmid}", (pmid, records[pmid])


def _made(named: tuple[str, dict[str, Any]]) -> Iterator[Sample]:
    pmid, record = named
    context = tuple(text for text in texts(record["CONTEXTS"]) if text.strip())
    case = Case(id=f"pubmedqa-{pmid}", question=record["QUESTION"], options=OPTIONS, context=context)
    yield Sample(
        case=case, target=letter_for(OPTIONS, record["final_decision"]), group=pmid, made_of=(pmid,),
        gives_away=telling(record.get("LONG_ANSWER")),
    )  # fmt: skip


BENCHMARK = Benchmark(
    name="pubmedqa",
    summary="yes, no or maybe, from an abstract without its conclusion",
    task="choice",
    licence="MIT",
    citation="Jin et al., PubMedQA: A Dataset for Biomedical Research Question Answering, EMNLP 2019, arXiv:1909.06146",
    published_as="pqal_dev.json of the PubMedQA release (github.com/pubmedqa/pubmedqa)",
    place="pubmedqa/pqal_dev.json",
    samples=samples,
)
