"""CHASE_DB1: the vessels of the retina to be outlined, on photographs of children's eyes.

Fraz, Remagnino, Hoppe, Uyyanonvara, Rudnicka, Owen, Barman: An ensemble classification-based approach applied to
retinal blood vessel segmentation. IEEE Trans Biomed Eng 2012;59:2538-2548. CC BY 4.0. The layout, names invented:

    Image_77L.jpg, Image_77L_1stHO.png (first observer), Image_77L_2ndHO.png (second observer)

Right is what the first observer drew, inside the field that the camera lit. Both eyes of a child are one group. Against
him the second observer reaches a Dice of 0.777: more means to have learnt his hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ...core.case import Case
from ...tools.learned.training.items import Item
from ...tools.learned.training.sets import chase
from ..benchmark import Benchmark
from ..sample import Mask, Sample, Sought
from .pictures import opened, samples_in

EXPECTED = "CHASE_DB1 photographs"


def _made(item: Item) -> Iterator[Sample]:
    case = Case(
        id=f"chase-{item.id}",
        question="Where are the vessels of the retina?",
        images=(opened(item, modality="fundus", body_part="eye"),),
    )
    yield Sample(
        case=case,
        target=Mask(path=item.files["vessels"], label="vessels", field=True),
        group=item.group,
        facets={"data set": "CHASE_DB1", "modality": "fundus"},
        sought=Sought(region="vessel_density"),
    )


BENCHMARK = Benchmark(
    name="vessels_chase",
    summary="vessels of the retina to be outlined, children",
    task="mask",
    licence="CC BY 4.0",
    citation="Fraz et al., IEEE Trans Biomed Eng 2012;59:2538-2548",
    published_as="the 28 photographs of CHASE_DB1 with their observers' masks",
    place="fundus_chasedb1",
    samples=partial(samples_in, items=chase, make=_made, expected=EXPECTED),
)
