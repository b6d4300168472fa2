"""GMAI-MMBench: questions about pictures of 284 other data sets, by department, modality and task, up to five options.

Chen, Ye, Wang, Li, Deng, Li, Li, Duan, Huang, Su, Wang, Zhang, Fu, Cai, Zhuang, Seibel, He, Qiao: GMAI-MMBench: A
Comprehensive Multimodal Evaluation Benchmark Towards General Medical AI. NeurIPS 2024 Datasets and Benchmarks,
arXiv:2408.03361. Apache 2.0 on the card of the hub; the sources keep their licences. The shape of a row of the
tab-separated table, content invented:

    index=7, image=iVBORw0…, question="This is a photograph of a table. What lies on it?", A="A fork", B="A spoon",
    C="A cup", D="A plate", E="", answer=B, category="A spoon", "clinical vqa task"="Cutlery Recognition",
    department="Kitchen", "perceptual granularity"=image, modality=Photography

Traps: `category` is the label, mostly the text of the right option: it is not read. `answer` stands in the validation
table only. Pictures stand in the table, 9 GB of base64: `polyclinic eval unpack gmai_mmbench --data DIR` writes them to
`images` once. Crops of one picture and pictures of one patient cannot be told: every row is a group of its own unless
it shows another's picture again, and intervals are too narrow for that.

Not run on the published set: columns are those that VLMEvalKit and others' loaders read, and the loader is tested on a
table in that format.
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

EXPECTED = "GMAI-MMBench rows"


def samples(path: Path) -> Iterator[Sample]:
    """The samples of `GMAI_mm_bench_VAL.tsv`, in its order; its pictures lie in `images` beside it."""
    return samples_of(path, tables.table(path, EXPECTED), partial(_made, path.parent), EXPECTED)


def _made(folder: Path, row: dict[str, str]) -> Iterator[Sample]:
    case = Case(
        id=case_id("gmai", row["index"]),
        question=row["question"],
        options=tables.options_in(row),
        images=tables.pictures_of(folder, row, "gmai_mmbench"),
    )
    yield Sample(
        case=case,
        target=chosen(case.options, row["answer"].strip()),
        group=case_id("gmai", tables.shown_in(row)),
        facets={
            "department": row["department"],
            "modality": row["modality"],
            "task": row.get("clinical vqa task") or row["clinical VQA task"],
        },
    )


BENCHMARK = Benchmark(
    name="gmai_mmbench",
    summary="questions about pictures by department and modality, up to five options",
    task="choice",
    licence="Apache 2.0 (sources keep their own)",
    citation="Chen et al., GMAI-MMBench: A Comprehensive Multimodal Evaluation Benchmark Towards General Medical AI, "
    "NeurIPS 2024 Datasets and Benchmarks, arXiv:2408.03361",
    published_as="GMAI_mm_bench_VAL.tsv of GMAI-MMBench (hub: OpenGVLab/GMAI-MMBench)",
    place="gmai_mmbench/GMAI_mm_bench_VAL.tsv",
    samples=samples,
    tried=False,
    unpack=partial(tables.unpack, expected=EXPECTED),
)
