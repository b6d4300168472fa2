"""Pneumonia or no finding, on frontal radiographs of the chest.

Wang, Peng, Lu, Lu, Bagheri, Summers: ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks. CVPR 2017:2097-
2106 (NIH Clinical Center, no restrictions on use), a sample (github.com/muhammedtalo/COVID-19). The layout, names
invented:

    images/pneumonia_00077777_003.jpg, images/no_finding_00077778_000.jpg

Traps: a picture's name begins with its label, so no name is part of a case, and ids leave it out. The number in it is
the patient, which is the group. Labels were mined from reports and are noisy. Nine numbers of brightness alone reach an
AUROC of 0.76: the arm `brightness` belongs beside every figure.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ...core.case import Case
from ...tools.learned.training.items import Item
from ...tools.learned.training.sets import CHESTS, chests
from ..benchmark import Benchmark
from ..sample import Sample, Sought
from .pictures import opened, samples_in
from .records import letter_for, lettered

EXPECTED = "ChestX-ray8 pictures"
OPTIONS = lettered(CHESTS.values())


def _made(item: Item) -> Iterator[Sample]:
    patient, number = item.id.split("_")[-2:]
    case = Case(
        id=f"chest-{patient}-{number}",
        question="Does this radiograph show pneumonia, or no finding?",
        options=OPTIONS,
        images=(opened(item, modality="xray", body_part="chest"),),
    )
    yield Sample(
        case=case,
        target=letter_for(OPTIONS, item.kind),
        group=item.group,
        facets={"data set": "ChestX-ray8 | ChestX-ray14", "modality": "xray"},
        sought=Sought(findings={"A": "pneumonia", "B": ""}),
    )


BENCHMARK = Benchmark(
    name="pneumonia",
    summary="pneumonia or no finding by a radiograph of the chest",
    task="choice",
    licence="no restrictions on use (NIH Clinical Center)",
    citation="Wang et al., ChestX-ray8, CVPR 2017:2097-2106",
    published_as="a sample of ChestX-ray8 with the labels pneumonia and no finding",
    place="cxr_nih_pneumonia_normal",
    samples=partial(samples_in, items=chests, make=_made, expected=EXPECTED),
)
