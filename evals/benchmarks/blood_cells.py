"""Blood cells: a box around every red cell, white cell and platelet of a smear, and how many there are.

Cheng: BCCD Dataset. 2017, github.com/Shenggan/BCCD_Dataset. MIT. The shape of a record, content invented:

    <annotation><filename>BloodImage_00700.jpg</filename>
      <object><name>WBC</name><bndbox><xmin>12</xmin><ymin>20</ymin><xmax>90</xmax><ymax>101</ymax></bndbox></object>
    </annotation>

Names are RBC, WBC and Platelets (here: platelet). Traps: the boxes are incomplete, many red cells have none, so that a
constant count is nearly as good as counting: the arm `constant` belongs beside every figure. Two boxes are empty and
left out. Pictures 37 and 38 show one field: they are one group. The facet "part" is that of the published split.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ...core.case import Case
from ...tools.learned.training.items import Item
from ...tools.learned.training.sets import blood_cells, cells_in
from ..benchmark import Benchmark
from ..sample import Boxes, Sample, Sought
from .pictures import opened, samples_in

EXPECTED = "BCCD annotations"
SOUGHT = Sought(
    labels={"RBC": "RBC", "red cell": "RBC", "WBC": "WBC", "white cell": "WBC", "platelet": "platelet"},
    counts={
        "RBC": "red cells in the picture",
        "WBC": "white cells in the picture",
        "platelet": "platelets in the picture",
    },
)


def _made(item: Item) -> Iterator[Sample]:
    boxes = tuple((label, tuple(map(round, box))) for label, box in cells_in(item.files["boxes"]))
    case = Case(
        id=f"blood-{item.id}",
        question="Where are the red cells, the white cells and the platelets, and how many of each are there?",
        images=(opened(item, modality="blood_smear"),),
    )
    yield Sample(
        case=case,
        target=Boxes(boxes=boxes),  # type: ignore[arg-type]
        group=item.group,
        facets={"data set": "BCCD", "modality": "blood_smear", **item.facts},
        sought=SOUGHT,
    )


BENCHMARK = Benchmark(
    name="blood_cells",
    summary="cells of a blood smear to be boxed and counted",
    task="boxes",
    licence="MIT",
    citation="Cheng, BCCD Dataset, 2017, github.com/Shenggan/BCCD_Dataset",
    published_as="the folder BCCD of github.com/Shenggan/BCCD_Dataset",
    place="bccd_blood",
    samples=partial(samples_in, items=blood_cells, make=_made, expected=EXPECTED),
)
