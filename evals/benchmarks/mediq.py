"""MediQ: an examination question of which only the beginning is told; the rest of the patient is told on asking.

Li, Balachandran, Feng, Ilgen, Pierson, Koh, Tsvetkov: MediQ: Question-Asking LLMs and a Benchmark for Reliable
Interactive Clinical Reasoning. NeurIPS 2024, arXiv:2406.00922. CC BY 4.0. A real record, shortened:

    {"id": 0, "question": "The mechanism of action of the medication given blocks cell wall synthesis, which …?",
     "context": ["A 21-year-old sexually active male complains of fever, pain during urination, and …", …],
     "options": {"A": "Gentamicin", "B": "Ciprofloxacin", "C": "Ceftriaxone", "D": "Trimethoprim"},
     "answer": "Ceftriaxone", "answer_idx": "C", "explanation": "",
     "facts": ["1. Patient is a 21-year-old male.", "2. Patient is sexually active.", …],
     "patient": {"gender": "Male", "age": "21 years old", "specialties": ["Internal Medicine", "Urology"], …}}

The case holds the first sentence of `context`, as the authors' patient does; what can be asked for are `facts`, the
context in single statements, of which the first repeat that sentence. Three records have no context and no facts.

Traps: `answer`, `answer_idx` and `explanation` hold the answer; the rest of `context` is what should be asked for, and
`patient` was written by a model that saw the whole record, its specialties included: they are facets only. The
questions are MedQA's development set: do not use that as examples. "C" alone is right in 28 of 100 records.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...core.case import Case
from ..benchmark import Benchmark
from ..sample import Sample
from .records import case_id, chosen, lines, samples_of, telling, texts

EXPECTED = "MediQ records"


def samples(path: Path) -> Iterator[Sample]:
    """The samples of a file in the published format (`all_dev_good.jsonl`), in its order."""
    return samples_of(path, lines(path, EXPECTED), _made, EXPECTED)


def _made(record: dict[str, Any]) -> Iterator[Sample]:
    case = Case(
        id=case_id("mediq", record["id"]),
        question=record["question"],
        options=record["options"],
        context=tuple(text for text in texts(record["context"])[:1] if text.strip()),
    )
    facts = [re.sub(r"^\d+\.\s*", "", fact).strip() for fact in texts(record["facts"])]
    yield Sample(
        case=case,
        target=chosen(case.options, record["answer_idx"]),
        group=case.id,
        facets={"specialty": next(iter(texts(record["patient"]["specialties"])), "none")},
        gives_away=telling(record.get("explanation")),
        known={f"fact {number:02}": fact for number, fact in enumerate(facts, 1) if fact},
    )


BENCHMARK = Benchmark(
    name="mediq",
    summary="an examination question whose facts must be asked for",
    task="interactive",
    licence="CC BY 4.0",
    citation="Li et al., MediQ: Question-Asking LLMs and a Benchmark for Reliable Interactive Clinical Reasoning, "
    "NeurIPS 2024, arXiv:2406.00922",
    published_as="data/all_dev_good.jsonl of MediQ (github.com/stellalisy/mediQ)",
    place="mediq/all_dev_good.jsonl",
    samples=samples,
)
