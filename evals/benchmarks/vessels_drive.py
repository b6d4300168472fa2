"""DRIVE, training part: the vessels of the retina to be outlined, on photographs of a screening.

Staal, Abramoff, Niemeijer, Viergever, van Ginneken: Ridge-based vessel segmentation in color images of the retina. IEEE
Trans Med Imaging 2004;23:501-509. For research and education. The layout, names invented:

    training/images/77_training.png, training/1st_manual/77_manual1.gif

Right is what the observer drew, inside the field that the camera lit. The masks of the test part are not public. No
weights that ship were trained on these pictures, but a threshold was chosen while looking at them (see the card of
fundus_vessels_net).
"""

from __future__ import annotations

from functools import partial

from ...tools.learned.training.sets import drive
from ..benchmark import Benchmark
from .pictures import samples_in, vessels

EXPECTED = "DRIVE photographs"


BENCHMARK = Benchmark(
    name="vessels_drive",
    summary="vessels of the retina to be outlined, a screening",
    task="mask",
    licence="for research and education",
    citation="Staal et al., IEEE Trans Med Imaging 2004;23:501-509",
    published_as="the training part of DRIVE, pictures as PNG",
    place="fundus_drive",
    samples=partial(
        samples_in, items=drive, make=partial(vessels, prefix="drive", data_set="DRIVE"), expected=EXPECTED
    ),
)
