"""MMXU: how a region of the chest changed between two radiographs of one patient, four options.

Mu, Huang, Qin, Zhu, Zhang, Zhang: MMXU: A Multi-Modal and Multi-X-ray Understanding Dataset for Disease Progression.
Findings of ACL 2025, arXiv:2502.11651. The card states no licence; the pictures, MIMIC-CXR-JPG, need a PhysioNet
account. The shape of a record, content invented:

    {"id": 1, "content_type": "worsen", "question": "What happened to the left lower lung between the two pictures?",
     "options": {"A": "It cleared", "B": "It became denser", "C": "Nothing", "D": "A tube was placed"}, "answer": "B",
     "cur_image_path": "files/p10/p10000001/s50000002/b.jpg",
     "prior_image_path": "files/p10/p10000001/s50000001/a.jpg"}

Traps: `content_type` is the course and so the answer: a facet only. The development set adds reports and explanations,
which are never read. The days of the visits are not published: the case has days that stand for their order. Samples
of one patient (p10000001) are one group. "D" alone is right in 26 of 100 test records.

Not run on the published set with its pictures: the records were read in github.com/LinjieMu/MMXU, and the loader is
tested on a file in their format. `files` is that of MIMIC-CXR-JPG, linked or unpacked beside the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ..benchmark import Benchmark
from ..sample import Sample
from .records import case_id, chosen, lines, picture, samples_of
from .visits import two_visits

EXPECTED = "MMXU records"


def samples(path: Path) -> Iterator[Sample]:
    """The samples of `MMXU-test.jsonl`, in its order."""
    return samples_of(path, lines(path, EXPECTED), partial(_made, path.parent), EXPECTED)


def _made(folder: Path, record: dict[str, Any]) -> Iterator[Sample]:
    before, today = record["prior_image_path"], record["cur_image_path"]
    if isinstance(before, list):  # as the development set has it
        before = before[0]
    images = [picture(folder, name, modality="xray", body_part="chest") for name in (before, today)]
    patients = {PurePosixPath(name).parts[-3] for name in (before, today)}
    if len(patients) > 1:
        raise ValueError(f"two patients, {' and '.join(sorted(patients))}")
    case = two_visits(case_id("mmxu", record["id"]), record["question"], record["options"], *images)
    yield Sample(
        case=case,
        target=chosen(case.options, record["answer"]),
        group=patients.pop(),
        facets={"course": record["content_type"]},
    )


BENCHMARK = Benchmark(
    name="mmxu",
    summary="what changed between two chest radiographs, four options",
    task="choice",
    licence="none stated (pictures under the PhysioNet credentialed licence)",
    citation="Mu et al., MMXU: A Multi-Modal and Multi-X-ray Understanding Dataset for Disease Progression, "
    "Findings of ACL 2025, arXiv:2502.11651",
    published_as="MMXU-test.jsonl (github.com/LinjieMu/MMXU) with files of MIMIC-CXR-JPG beside it (physionet.org)",
    place="mmxu/MMXU-test.jsonl",
    samples=samples,
    tried=False,
)
