"""TemMed-Bench: whether something changed between two chest radiographs of one patient, yes or no.

Zhang, Gu, Hu, Zhou, Piramuthu, Peng: TemMed-Bench: Evaluating Temporal Medical Image Reasoning in Vision-Language
Models. 2025, arXiv:2509.25143. CC BY 4.0; the pictures, CheXpert Plus, have their own agreement. The shape of a record
of TestSet_VQA_ReportGeneration.json, content invented:

    {"image_path": "train/patient00001/study2/view1_frontal.jpg",
     "historical_image_path": "train/patient00001/study1/view1_frontal.jpg",
     "VQA_Final": [{"VQA_question": "Has the spoon moved?", "VQA_answer": "Yes"}, …],
     "reference_images": […], "condition_changes_report": "…"}

and of TestSet_SelectedVQA_2000.json, which says what is asked: {"img_id": 0, "question_id": 1}.

Traps: `condition_changes_report`, which the authors' notebook adds, and the reference pictures are never read. The days
of the visits are not published: the case has days that stand for their order. Samples of one patient are one group. The
two other tasks are left out: a report, and the choice among three patients' pairs, as a case is one patient's.

Not run on the published set: fields are those that the authors' scripts read (github.com/Levi-ZJY/TemMed-Bench), and
the loader is tested on files in that format. `PNG` is that of CheXpert Plus, linked or unpacked beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ..benchmark import Benchmark
from ..sample import Sample
from .records import YES_NO, letter_for, listed, picture, samples_of, whole
from .visits import two_visits

EXPECTED = "TemMed-Bench records"
RECORDS = "TestSet_VQA_ReportGeneration.json"
PICTURES = "PNG"


def samples(path: Path) -> Iterator[Sample]:
    """The samples that `TestSet_SelectedVQA_2000.json` names, in its order, from the records beside it."""
    records = [record for _, record in listed(path.parent / RECORDS, EXPECTED)]
    made = partial(_made, path.parent / PICTURES, records)
    return samples_of(path, listed(path, EXPECTED), made, EXPECTED)


def _made(pictures: Path, records: list[Any], selected: dict[str, int]) -> Iterator[Sample]:
    which, question = whole(selected["img_id"]), whole(selected["question_id"])
    if min(which, question) < 0:
        raise ValueError("records count from 0")
    record = records[which]
    asked = record["VQA_Final"][question]
    before, today = (record[name].replace("jpg", "png") for name in ("historical_image_path", "image_path"))
    images = [picture(pictures, name, modality="xray", body_part="chest") for name in (before, today)]
    patients = {PurePosixPath(name).parts[-3] for name in (before, today)}
    if len(patients) > 1:
        raise ValueError(f"two patients, {' and '.join(sorted(patients))}")
    case = two_visits(f"temmed-{which:04}-{question:02}", asked["VQA_question"], YES_NO, *images)
    yield Sample(
        case=case, target=letter_for(YES_NO, asked["VQA_answer"].strip().removesuffix(".")), group=patients.pop()
    )


BENCHMARK = Benchmark(
    name="temmed_bench",
    summary="whether something changed between two chest radiographs, yes or no",
    task="choice",
    licence="CC BY 4.0 (pictures under the CheXpert Plus agreement)",
    citation="Zhang et al., TemMed-Bench: Evaluating Temporal Medical Image Reasoning in Vision-Language Models, 2025, "
    "arXiv:2509.25143",
    published_as=f"TestSet_SelectedVQA_2000.json and {RECORDS} (hub: uclanlp/TemMed-Bench) with PNG of CheXpert Plus",
    place="temmed_bench/TestSet_SelectedVQA_2000.json",
    samples=samples,
    tried=False,
)
