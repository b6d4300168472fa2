"""MedQ-Bench, perception: questions about the quality of medical pictures, up to four options.

Liu, Wei, Qu, Ma, Ning, Li, Chen, Luo, Chen, Gao, Hu, Xu, Wang, Gao, Yang, Deng, Ye, Liu, He, Xu: MedQ-Bench: Evaluating
and Exploring Medical Image Quality Assessment Abilities in MLLMs. 2025, arXiv:2510.01691. Apache 2.0. The shape of a
row of the tab-separated table, content invented:

    index=7, question="Is this picture blurred?", A=Yes, B=No, answer=0, image_path=spoons/7.png, modality=CT

`answer` is a letter, or a number that counts from 0. The two other tasks of the set, descriptions that a language model
judges, are left out.

Not run on the published set: columns are those that its loader in VLMEvalKit reads (medqbench_mcq.py), and the loader
here is tested on a table in that format. Where the table holds pictures, `polyclinic eval unpack medq_bench --data DIR`
writes them to `images`; else `image_path` names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ...core.case import Case
from ..benchmark import Benchmark
from ..sample import Sample
from . import tables
from .records import case_id, chosen, samples_of

EXPECTED = "MedQ-Bench rows"
NUMBERED = {"0": "A", "1": "B", "2": "C", "3": "D"}


def samples(path: Path) -> Iterator[Sample]:
    """The samples of `medqbench_QA_test.tsv`, in its order; its pictures lie below its folder."""
    return samples_of(path, tables.table(path, EXPECTED), partial(_made, path.parent), EXPECTED)


def _made(folder: Path, row: dict[str, str]) -> Iterator[Sample]:
    case = Case(
        id=case_id("medqbench", row["index"]),
        question=row["question"],
        options=tables.options_in(row),
        images=tables.pictures_of(folder, row, "medq_bench"),
    )
    answer = row["answer"].strip().upper()
    yield Sample(
        case=case,
        target=chosen(case.options, NUMBERED.get(answer, answer)),
        group=(row.get("image_path") or "").strip() or case_id("medqbench", tables.shown_in(row)),
        facets={"modality": (row.get("modality") or "").strip() or "unknown"},
    )


BENCHMARK = Benchmark(
    name="medq_bench",
    summary="questions about the quality of pictures, up to four options",
    task="choice",
    licence="Apache 2.0",
    citation="Liu et al., MedQ-Bench: Evaluating and Exploring Medical Image Quality Assessment Abilities in MLLMs, "
    "2025, arXiv:2510.01691",
    published_as="medqbench_QA_test.tsv of MedQ-Bench, with its pictures (hub: jiyaoliufd/MedQ-Bench)",
    place="medq_bench/medqbench_QA_test.tsv",
    samples=samples,
    tried=False,
    unpack=partial(tables.unpack, expected=EXPECTED),
)
