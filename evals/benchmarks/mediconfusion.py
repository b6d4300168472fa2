"""MediConfusion: the same question and options about two pictures that models confuse, with different right answers.

Sepehri, Fabian, Soltanolkotabi, Soltanolkotabi: MediConfusion: Can you trust your AI radiologist? Probing the
reliability of multimodal medical foundation models. 2024, arXiv:2409.15477. MIT licence; the pictures, from ROCO, have
their papers'. The shape of a record, content invented:

    "10001": {"im_1": "train/…/ROCO_1.jpg", "im_1_local": 20001, "cap_1": " A spoon.", "im_1_correct": "A",
              "im_2": …, "im_2_local": 20002, "cap_2": " A fork.", "im_2_correct": "B",
              "category_1": ["Cerebral"], "category_2": ["Vascular"], "question": "What is shown?",
              "option_A": "A spoon", "option_B": "A fork", "AI_question": …, "AI_option_A": …, …}

Each record is two samples, asked together: a pair is right when both are (set accuracy), and always the same letter
makes every pair wrong.

Traps: the captions `cap_1` and `cap_2` are the answers, and `AI_*` an earlier wording of the question. Pictures occur
in several pairs: pairs that are linked by a picture are one group.

Not run on the published set with its pictures: the records were read in github.com/MShahabSepehri/MediConfusion, and
the loader is tested on a file in their format. Pictures are what the authors' script downloads, `images/20001.jpg`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ...core.case import Case
from ..benchmark import Benchmark, unreadable
from ..sample import Sample
from .records import BROKEN, Record, case_id, chosen, fields, json_of, lettered, picture, samples_of, worded

EXPECTED = "MediConfusion pairs by id"


def samples(path: Path) -> Iterator[Sample]:
    """Two samples for each pair of `dataset.json`, in the order of the ids; pictures lie in `images` beside it."""
    records = json_of(path, EXPECTED)
    if not isinstance(records, dict):
        raise unreadable(path, EXPECTED, ValueError("JSON, but no pairs by id"))
    shown: dict[str, set[str]] = {}
    for pair, record in records.items():
        try:
            shown[pair] = {worded(fields(record)[f"im_{which}_local"]) for which in (1, 2)}
        except BROKEN as error:
            raise unreadable(path, f"{EXPECTED}, pair {pair},", error) from error
    groups = linked(shown)
    named: Iterator[Record] = ((f"pair {pair}", (pair, groups[pair], records[pair])) for pair in sorted(records))
    yield from samples_of(path, named, partial(_made, path.parent / "images"), EXPECTED)


def linked(pictures: Mapping[str, set[Any]]) -> dict[str, str]:
    """Each pair's group: the first of the pairs that pictures link it to."""
    groups: dict[str, str] = {}
    for first in sorted(pictures):
        if first in groups:
            continue
        reached, seen = [first], set(pictures[first])
        for _ in pictures:
            more = [pair for pair in sorted(pictures) if pair not in reached and pictures[pair] & seen]
            if not more:
                break
            reached += more
            seen.update(*(pictures[pair] for pair in more))
        groups |= dict.fromkeys(reached, first)
    return groups


def _made(pictures: Path, named: tuple[str, str, dict[str, Any]]) -> Iterator[Sample]:
    pair, group, record = named
    options = lettered((record["option_A"], record["option_B"]))
    if {record["im_1_correct"], record["im_2_correct"]} != set(options):
        raise ValueError("the two pictures have the same right answer")
    for which in (1, 2):
        case = Case(
            id=case_id("mediconfusion", pair, which),
            question=record["question"],
            options=options,
            images=(picture(pictures, f"{worded(record[f'im_{which}_local'])}.jpg"),),
        )
        yield Sample(
            case=case,
            target=chosen(options, record[f"im_{which}_correct"]),
            group=group,
            facets={"category": str(record[f"category_{which}"][0])},
            asked_with=case_id("mediconfusion", pair),
        )


BENCHMARK = Benchmark(
    name="mediconfusion",
    summary="pairs of pictures that are easily confused, two options",
    task="choice",
    licence="MIT (pictures as their papers)",
    citation="Sepehri et al., MediConfusion: Can you trust your AI radiologist? Probing the reliability of multimodal "
    "medical foundation models, 2024, arXiv:2409.15477",
    published_as="data/dataset.json of MediConfusion and the pictures its scripts/download.py fetches "
    "(github.com/MShahabSepehri/MediConfusion)",
    place="mediconfusion/dataset.json",
    samples=samples,
    tried=False,
)
