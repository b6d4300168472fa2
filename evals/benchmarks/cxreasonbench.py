"""CXReasonBench: the steps to a finding on a chest radiograph: criterion, body part, measurement and answer.

Lee, Choi, Lee, Yoon, Hong, Choi: CXReasonBench: A Benchmark for Evaluating Structured Diagnostic Reasoning in Chest
X-rays. NeurIPS 2025 Datasets and Benchmarks, arXiv:2505.18087. PhysioNet gives it to credentialed users. A step is a
file qa/TASK/path1/STAGE/KIND/DICOM.json; its shape, content invented:

    {"question": "Is the heart enlarged? Options: (a) Yes (b) No (c) I don't know", "answer": "(a) Yes",
     "img_path": ["p10/p10000001/s50000001/0a1b.jpg"], "measured_value": 0.6}

in the stages "stage1" and "stage2" with lists of questions and answers, one of each for a step, and in "stage2" a list
of pictures for each (drawn on the radiograph). Options stand in the question and are read off it.

Steps of one picture and task are asked together, so that it can be seen how far a chain goes. In the published
evaluation they are turns of one conversation that ends at the first wrong one; here each is asked alone, with the
radiograph: no right answer of another step is told. The second path, where a model is guided, is left out.

Traps: `measured_value` is an answer. Steps with several right options (some body parts, some last steps) have no single
letter and are left out. Samples of one patient (p10000001) are one group.

Not run on the published set, nor were its records seen: files and fields are those that the authors' evaluation reads
(github.com/ttumyche/CXReasonBench), the writing of options is that of its prompts, and the loader is tested on files in
that format. Radiographs are looked for in `files`, that of MIMIC-CXR-JPG, linked or unpacked beside `qa`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from ...core.case import Case, Image
from ..benchmark import Benchmark, unreadable
from ..sample import Sample
from .records import Record, case_id, chosen, json_of, picture, samples_of, texts

EXPECTED = "CXReasonBench steps"
TASKS = "dx_by_dicoms.json"
STAGES = {"init": "first answer", "stage1": "criterion", "stage1.5": "own criterion", "stage2": "body part",
          "stage3": "measurement", "stage4": "last answer"}  # fmt: skip
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
OPTION = re.compile(r"(?<!\S)\(([a-z])\)\s*", re.IGNORECASE)


def samples(path: Path) -> Iterator[Sample]:
    """The steps of every picture of every task in `dx_by_dicoms.json`, in the order of tasks, pictures and stages."""
    named = path / TASKS
    pictures = _pictures(named)
    ids: set[str] = set()
    for task in sorted(pictures):
        for dicom in sorted(pictures[task]):
            yield from samples_of(named, _stages(path, task, dicom), partial(_made, path, task, dicom), EXPECTED, ids)


def _pictures(path: Path) -> dict[str, list[str]]:
    """The names of pictures by task; both name files, so that they must be plain."""
    found = json_of(path, EXPECTED)
    if not isinstance(found, dict) or not found:
        raise unreadable(path, EXPECTED, ValueError("no pictures by task"))
    for task, names in found.items():
        if not isinstance(names, list) or not all(
            isinstance(name, str) and PLAIN.fullmatch(name) for name in (task, *names)
        ):
            raise unreadable(path, EXPECTED, ValueError(f"{task!r} is no task with a list of pictures"))
    return found


def _stages(path: Path, task: str, dicom: str) -> Iterator[Record]:
    """The files of a picture's stages, each with the path of its radiograph."""
    radiograph: list[str] = []
    for stage in STAGES:
        files = sorted((path / "qa" / task / "path1" / stage).glob(f"*/{dicom}.json"))
        if not files and stage == "init":
            raise unreadable(path / TASKS, EXPECTED, ValueError(f"no first step of {dicom} in {task}"))
        for file in files[:1]:
            record = json_of(file, EXPECTED)
            if stage == "init":
                radiograph = record.get("img_path", []) if isinstance(record, dict) else []
            yield f"{task}/{stage}/{dicom}", (stage, radiograph, record)


def _made(path: Path, task: str, dicom: str, named: tuple[str, list[str], dict[str, Any]]) -> Iterator[Sample]:
    stage, radiograph, record = named
    seen = tuple(picture(path / "files", name, modality="xray", body_part="chest") for name in texts(radiograph))
    for number, (question, answer, drawn) in enumerate(_steps(stage, record)):
        right = OPTION.findall(answer)
        if len(right) != 1:
            continue
        text, options = asked(question)
        case = Case(
            id=case_id("cxreason", task, dicom, stage, number),
            question=text,
            options=options,
            images=seen + tuple(_drawn(path, name) for name in drawn),
        )
        yield Sample(
            case=case,
            target=chosen(case.options, right[0].upper()),
            group=next(iter(re.findall(r"\bp\d{8}\b", " ".join(radiograph))), dicom),
            facets={"task": task, "step": STAGES[stage]},
            asked_with=case_id("cxreason", task, dicom),
        )


def _steps(stage: str, record: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Question, answer and the pictures drawn for it."""
    if isinstance(record["question"], str):
        answer = record["answer"]
        yield record["question"], answer if isinstance(answer, str) else " ".join(map(str, answer)), []
        return
    questions, answers = texts(record["question"]), record["answer"]
    drawn = list(map(texts, record["img_path"])) if stage == "stage2" else [[] for _ in questions]
    if not len(questions) == len(answers) == len(drawn):
        raise ValueError(f"{len(questions)} questions, {len(answers)} answers, {len(drawn)} lists of pictures")
    for question, answer, pictures in zip(questions, answers, drawn, strict=True):
        yield question, answer if isinstance(answer, str) else " ".join(map(str, answer)), pictures


def _drawn(path: Path, name: str) -> Image:
    return picture(path / "segmask_bodypart", name.lstrip("/"), modality="xray", body_part="chest")


def asked(question: str) -> tuple[str, dict[str, str]]:
    """A question without its options, and these: what follows (a), (b), … in that order. Raises ValueError for one that
    has no two."""
    options: dict[str, str] = {}
    marks: list[re.Match[str]] = []
    for mark in OPTION.finditer(question):
        if mark[1].upper() == ascii_uppercase[len(marks)]:
            marks.append(mark)
    for mark, end in zip(marks, [*(mark.start() for mark in marks[1:]), len(question)], strict=False):
        options[mark[1].upper()] = question[mark.end() : end].strip(" ,;\n")
    if len(options) < 2:
        raise ValueError(f"{len(options)} options in the question")
    return re.sub(r"\s*Options?:\s*$", "", question[: marks[0].start()].strip()), options


BENCHMARK = Benchmark(
    name="cxreasonbench",
    summary="the steps to a finding on a chest radiograph",
    task="choice",
    licence="PhysioNet, credentialed users (text not seen)",
    citation="Lee et al., CXReasonBench: A Benchmark for Evaluating Structured Diagnostic Reasoning in Chest X-rays, "
    "NeurIPS 2025 Datasets and Benchmarks, arXiv:2505.18087",
    published_as="the folder CXReasonBench, unpacked (physionet.org/content/chexstruct-cxreasonbench)",
    place="CXReasonBench",
    samples=samples,
    tried=False,
)
