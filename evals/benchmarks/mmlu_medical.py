"""MMLU, its medical subjects: examination questions with four options, a table for each subject.

Hendrycks, Burns, Basart, Zou, Mazeika, Song, Steinhardt: Measuring Massive Multitask Language Understanding. ICLR 2021,
arXiv:2009.03300. MIT licence. A real row of anatomy_test.csv; there is no first row with names:

    A lesion causing compression of the facial nerve at the stylomastoid foramen will cause ipsilateral,
    paralysis of the facial muscles.,paralysis of the facial muscles and loss of taste.,…,…,A

Every table `*_test.csv` of the folder is a subject, so a folder with all of MMLU asks for all of it. Rows have no
names: a sample is called by its row in its table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...core.case import Case
from ...core.errors import InputError
from ..benchmark import Benchmark
from ..sample import Sample
from .records import chosen, rows, samples_of

EXPECTED = "MMLU rows of a question, four options and a letter"
ENDING = "_test.csv"
COLUMNS = ("question", "A", "B", "C", "D", "answer")


def samples(path: Path) -> Iterator[Sample]:
    """The samples of a folder of tables in the published format, table by table in the order of their names.

    Raises InputError when there is no table or one is of another format.
    """
    tables = sorted(path.glob(f"*{ENDING}")) if path.is_dir() else [path]
    if not tables:
        raise InputError(expected=f"tables *{ENDING} in {path.name}", got="none", fix="name the folder of the tables")
    for table in tables:
        subject = table.name.removesuffix(ENDING)
        numbered = ((name, (subject, name, row)) for name, row in rows(table, EXPECTED, columns=COLUMNS))
        yield from samples_of(table, numbered, _made, EXPECTED)


def _made(named: tuple[str, str, dict[str, str]]) -> Iterator[Sample]:
    subject, name, row = named
    options = {letter: row[letter] for letter in "ABCD"}
    number = int(name.removeprefix("row "))
    case = Case(id=f"mmlu-{subject}-{number:04}", question=row["question"], options=options)
    yield Sample(case=case, target=chosen(options, row["answer"]), group=case.id, facets={"subject": subject})


BENCHMARK = Benchmark(
    name="mmlu_medical",
    summary="examinations in medical subjects, four options",
    task="choice",
    licence="MIT",
    citation="Hendrycks et al., Measuring Massive Multitask Language Understanding, ICLR 2021, arXiv:2009.03300",
    published_as="tables SUBJECT_test.csv of MMLU (github.com/hendrycks/test)",
    place="mmlu_medical",
    samples=samples,
)
