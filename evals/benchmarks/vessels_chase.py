"""CHASE_DB1: the vessels of the retina to be outlined, on photographs of children's eyes.

Fraz, Remagnino, Hoppe, Uyyanonvara, Rudnicka, Owen, Barman: An ensemble classification-based approach applied to
retinal blood vessel segmentation. IEEE Trans Biomed Eng 2012;59:2538-2548. CC BY 4.0. The layout, names invented:

    Image_77L.jpg, Image_77L_1stHO.png (first observer), Image_77L_2ndHO.png (second observer)

Right is what the first observer drew, inside the field that the camera lit. Both eyes of a child are one group. Against
him the second observer reaches a Dice of 0.777: more means to have learnt his hand.
"""

from __future__ import annotations

from functools import partial

from ...tools.learned.training.sets import chase
from ..benchmark import Benchmark
from .pictures import samples_in, vessels

EXPECTED = "CHASE_DB1 photographs"


BENCHMARK = Benchmark(
    name="vessels_chase",
    summary="vessels of the retina to be outlined, children",
    task="mask",
    licence="CC BY 4.0",
    citation="Fraz et al., IEEE Trans Biomed Eng 2012;59:2538-2548",
    published_as="the 28 photographs of CHASE_DB1 with their observers' masks",
    place="fundus_chasedb1",
    samples=partial(
        samples_in, items=chase, make=partial(vessels, prefix="chase", data_set="CHASE_DB1"), expected=EXPECTED
    ),
)
