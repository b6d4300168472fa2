"""Brain tumours on MR slices: to be outlined, and of which of three types each is.

Fateh et al.: BRISC: Annotated Dataset for Brain Tumor Segmentation and Classification with Swin-HAFNet. 2025,
arXiv:2506.14318. MIT. Slices: github.com/sarah-antillia/TensorFlow-FlexUNet-Image-Segmentation-BRISC2026-Brain-Tumor.
The layout, names invented:

    images/77013.png, masks/77013.png (cyan glioma, yellow meningioma, magenta pituitary adenoma, black nothing)

The benchmark is the outline; its part "type" asks for the type by options. Traps: colours are not exact, a pixel has
one where it is off by less than 150 over its channels. Which slices show one patient is not published: each is a group
of its own, and intervals may be too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ...core.case import Case
from ...tools.learned.brain_tumour import FINDINGS, TYPES
from ...tools.learned.training.items import Item
from ...tools.learned.training.sets import TUMOUR_TOLERANCE, TUMOURS, tumours
from ..benchmark import Benchmark
from ..sample import Letter, Mask, Sample, Sought
from .pictures import opened, samples_in
from .records import letter_for, lettered

EXPECTED = "BRISC slices"
OPTIONS = lettered(TYPES)


def _outline(item: Item) -> Iterator[Sample]:
    case = Case(
        id=f"tumour-{item.id}",
        question="Where is the tumour?",
        images=(opened(item, modality="mr", body_part="brain"),),
    )
    target = Mask(path=item.files["types"], label="tumour", colours=tuple(TUMOURS.values()), tolerance=TUMOUR_TOLERANCE)
    yield Sample(
        case=case, target=target, group=item.group, facets={"data set": "BRISC 2025", "modality": "mr"},
        sought=Sought(region="tumour_area"),
    )  # fmt: skip


def _type(item: Item) -> Iterator[Sample]:
    case = Case(
        id=f"tumour-{item.id}-type",
        question="Which type of tumour does this slice show?",
        options=OPTIONS,
        images=(opened(item, modality="mr", body_part="brain"),),
    )
    target: Letter = letter_for(OPTIONS, item.kind)
    yield Sample(
        case=case, target=target, group=item.group, facets={"data set": "BRISC 2025", "modality": "mr"},
        sought=Sought(findings=dict(zip(OPTIONS, FINDINGS, strict=True))),
    )  # fmt: skip


BENCHMARK = Benchmark(
    name="brain_tumour",
    summary="a tumour on an MR slice to be outlined",
    task="mask",
    licence="MIT",
    citation="Fateh et al., BRISC: Annotated Dataset for Brain Tumor Segmentation and Classification, 2025, "
    "arXiv:2506.14318",
    published_as="slices of BRISC 2025 with masks in colours",
    place="mri_brisc_seg",
    samples=partial(samples_in, items=tumours, make=_outline, expected=EXPECTED),
)
PARTS = {
    "type": Benchmark(
        **{
            **vars(BENCHMARK),
            "name": "brain_tumour-type",
            "summary": "the type of a brain tumour by an MR slice",
            "task": "choice",
            "samples": partial(samples_in, items=tumours, make=_type, expected=EXPECTED),
        }
    )
}
