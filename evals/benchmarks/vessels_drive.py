"""DRIVE, training part: the vessels of the retina to be outlined, on photographs of a screening.

Staal, Abramoff, Niemeijer, Viergever, van Ginneken: Ridge-based vessel segmentation in color images of the retina. IEEE
Trans Med Imaging 2004;23:501-509. For research and education. The layout, names invented:

    training/images/77_training.png, training/1st_manual/77_manual1.gif

Right is what the observer drew, inside the field that the camera lit. The masks of the test part are not public. No
weights that ship were trained on these pictures, but a threshold was chosen while looking at them (see the card of
fundus_vessels_net).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ...core.case import Case
from ...tools.learned.training.items import Item
from ...tools.learned.training.sets import drive
from ..benchmark import Benchmark
from ..sample import Mask, Sample, Sought
from .pictures import opened, samples_in

EXPECTED = "DRIVE photographs"


def _made(item: Item) -> Iterator[Sample]:
    case = Case(
        id=f"drive-{item.id}",
        question="Where are the vessels of the retina?",
        images=(opened(item, modality="fundus", body_part="eye"),),
    )
    yield Sample(
        case=case,
        target=Mask(path=item.files["vessels"], label="vessels", field=True),
        group=item.group,
        facets={"data set": "DRIVE", "modality": "fundus"},
        sought=Sought(region="vessel_density"),
    )


BENCHMARK = Benchmark(
    name="vessels_drive",
    summary="vessels of the retina to be outlined, a screening",
    task="mask",
    licence="for research and education",
    citation="Staal et al., IEEE Trans Med Imaging 2004;23:501-509",
    published_as="the training part of DRIVE, pictures as PNG",
    place="fundus_drive",
    samples=partial(samples_in, items=drive, make=_made, expected=EXPECTED),
)
