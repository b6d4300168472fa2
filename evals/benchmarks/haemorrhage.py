"""Haemorrhage on CT slices of the head: the blood to be outlined.

Wu, Xie, Zhang, Ge, Yaxley, Bahadir, Wu, Liu, To: BHSD: A 3D Multi-class Brain Hemorrhage Segmentation Dataset. MLMI
2023, as slices (github.com/sarah-antillia/TensorFlow-FlexUNet-Image-Segmentation-Multiclass-Brain-Hemorrhage). MIT. The
layout, names invented:

    images/777018.png, masks/777018.png (red epidural, blue intraparenchymal, yellow intraventricular, cyan
    subarachnoid, green subdural, black nothing)

Traps: colours are not exact, a pixel has one where it is off by less than 120 over its channels; the first
three characters of a name are the volume, which is the group. The window of the pictures is not stated.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ...core.case import Case
from ...tools.learned.training.items import Item
from ...tools.learned.training.sets import BLEED_TOLERANCE, BLEEDS, haemorrhages
from ..benchmark import Benchmark
from ..sample import Mask, Sample, Sought
from .pictures import opened, samples_in

EXPECTED = "BHSD slices"


def _made(item: Item) -> Iterator[Sample]:
    case = Case(
        id=f"haemorrhage-{item.id}",
        question="Where is blood inside the skull?",
        images=(opened(item, modality="ct", body_part="head"),),
    )
    yield Sample(
        case=case,
        target=Mask(path=item.files["types"], label="blood", colours=tuple(BLEEDS.values()), tolerance=BLEED_TOLERANCE),
        group=item.group,
        facets={"data set": "BHSD", "modality": "ct"},
        sought=Sought(region="blood_area"),
    )


BENCHMARK = Benchmark(
    name="haemorrhage",
    summary="blood on CT slices of the head to be outlined",
    task="mask",
    licence="MIT",
    citation="Wu et al., BHSD: A 3D Multi-class Brain Hemorrhage Segmentation Dataset, MLMI 2023",
    published_as="slices of BHSD with masks in colours",
    place="ct_brain_hemorrhage_seg",
    samples=partial(samples_in, items=haemorrhages, make=_made, expected=EXPECTED),
)
