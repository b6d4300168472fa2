"""No answer in a case: a marker is planted in every field that carries one, and looked for in the whole case."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polyclinic.evals.benchmarks.table import BENCHMARKS, benchmark
from polyclinic.evals.sample import Answer, Answers, Sample

MARKER = "PLANTED"
Record = dict[str, Any]


def loaded(name: str, data: Path) -> list[Sample]:
    each = benchmark(name)
    return list(each.samples(each.at(data)))


def planted(*fields: str) -> Callable[[Record], None]:
    """Puts the marker into fields of a record, keeping lists lists."""

    def plant(record: Record) -> None:
        for field in fields:
            value = record.get(field)
            record[field] = [MARKER] if isinstance(value, list) else MARKER

    return plant


def in_bioasq(content: Record) -> None:
    for question in content["questions"]:
        question["ideal_answer"] = [MARKER]
        question["snippets"] = [{"text": MARKER, "document": MARKER}]
        question |= {"concepts": [MARKER], "triples": [{"o": MARKER}], "statements": [MARKER], "_body": MARKER}
        if question["type"] in ("factoid", "list"):
            question["exact_answer"] = [[MARKER, f"{MARKER} too"]]


def in_mediq(record: Record) -> None:
    planted("answer", "explanation")(record)
    record["context"] = [*record["context"][:1], MARKER] if record["context"] else []
    record["facts"] = [f"1. {MARKER}"]
    record["patient"] = {
        key: [MARKER] if isinstance(value, list) else MARKER for key, value in record["patient"].items()
    }


def in_agentclinic(record: Record) -> None:
    seen = record["OSCE_Examination"]
    patient = seen["Patient_Actor"]
    seen["Objective_for_Doctor"] += f" Is it {MARKER}?"
    patient["Demographics"] += f", {MARKER.lower()}"
    planted("History", "Past_Medical_History", "Social_History", "Review_of_Systems")(patient)
    patient["Symptoms"] = {"Primary_Symptom": f"{MARKER}: pain", "Secondary_Symptoms": [MARKER]}
    seen["Physical_Examination_Findings"] = {"Vital_Signs": {MARKER: MARKER}}
    seen["Test_Results"] = {"Imaging": {MARKER: {"Findings": MARKER}}}
    seen["Correct_Diagnosis"] = MARKER


def in_temmed(record: Record) -> None:
    planted("condition_changes_report", "reference_condition_changes_reports", "reference_images")(record)


def in_cxreason(record: Record) -> None:
    record["measured_value"] = MARKER


def in_lines(plant: Callable[[Record], None]) -> Callable[[str], str]:
    def change(text: str) -> str:
        records = [json.loads(line) for line in text.splitlines()]
        for record in records:
            plant(record)
        return "".join(json.dumps(record) + "\n" for record in records)

    return change


def in_json(plant: Callable[[Record], None]) -> Callable[[str], str]:
    """Plants in every record of a list or mapping of records, or in the one there is."""

    def change(text: str) -> str:
        content = json.loads(text)
        if isinstance(content, list):
            records = content
        else:
            records = (
                list(content.values()) if all(isinstance(value, dict) for value in content.values()) else [content]
            )
        for record in records:
            plant(record)
        return json.dumps(content)

    return change


def in_columns(delimiter: str, *columns: str) -> Callable[[str], str]:
    """Plants in columns of a table without quoted cells."""

    def change(text: str) -> str:
        header, *rows = [line.split(delimiter) for line in text.splitlines() if '"' not in line]
        assert rows
        for row in rows:
            for column in columns:
                row[header.index(column)] = MARKER
        return "\n".join(delimiter.join(row) for row in (header, *rows)) + "\n"

    return change


RADIOLOGY = ("image_organ", "question_type", "phrase_type")
PLANTED: dict[str, tuple[str, Callable[[str], str]]] = {
    "agentclinic": ("*.jsonl", in_lines(in_agentclinic)),
    "bioasq-factoid": ("*.json", in_json(in_bioasq)),
    "bioasq-list": ("*.json", in_json(in_bioasq)),
    "bioasq-yesno": ("*.json", in_json(in_bioasq)),
    "cxreasonbench": ("0a1b2c3d-00000001.json", in_json(in_cxreason)),
    "gmai_mmbench": ("*.tsv", in_columns("\t", "category", "department", "modality", "clinical vqa task",
                                         "perceptual granularity")),
    "mediconfusion": ("*.json", in_json(planted("cap_1", "cap_2", "category_1", "category_2", "AI_question",
                                                "AI_option_A", "AI_option_B", "im_1", "im_2"))),
    "mediq": ("*.jsonl", in_lines(in_mediq)),
    "medmcqa": ("dev.json", in_lines(planted("exp", "choice_type", "subject_name", "topic_name"))),
    "medmultipoints": ("*.jsonl", in_lines(planted("classification", "collection_method", "organ", "bbox"))),
    "medq_bench": ("*.tsv", in_columns("\t", "modality")),
    "medqa": ("*.jsonl", in_lines(planted("metamap_phrases", "meta_info"))),
    "medsg_bench": ("Task8.json", in_json(planted("task"))),
    "medxpertqa-mm": ("MM/*.jsonl", in_lines(planted("medical_task", "body_system", "question_type"))),
    "medxpertqa-text": ("Text/*.jsonl", in_lines(planted("medical_task", "body_system", "question_type"))),
    "mmxu": ("*.jsonl", in_lines(planted("content_type", "explanation", "cur_report", "cur_region_report",
                                         "prior_report", "related_region_name"))),
    "omnimedvqa": ("*.json", in_json(planted("modality_type", "modality", "question_type", "dataset"))),
    "pathvqa-open": ("*.json", in_json(planted("answer"))),
    "pmc_vqa": ("test_clean.csv", in_columns(",", "Answer")),
    "pubmedqa": ("*.json", in_json(planted("LONG_ANSWER", "reasoning_required_pred", "reasoning_free_pred", "MESHES",
                                           "LABELS", "YEAR"))),
    "slake-open": ("*.json", in_json(planted("answer", "location", "modality", "triple", "content_type", "base_type"))),
    "slake-yesno": ("*.json", in_json(planted("location", "modality", "triple", "content_type", "base_type"))),
    "temmed_bench": ("TestSet_VQA*.json", in_json(in_temmed)),
    "vqa_rad-open": ("*.json", in_json(planted("answer", *RADIOLOGY))),
    "vqa_rad-yesno": ("*.json", in_json(planted(*RADIOLOGY))),
}  # fmt: skip
ONLY_A_LETTER = {"mmlu_medical", "pathvqa-yesno"}
OF_PLACES = {"blood_cells", "brain_tumour", "brain_tumour-type", "haemorrhage", "nuclei", "pneumonia", "vessels_chase",
             "vessels_drive"}  # fmt: skip
"""Sets whose answers are files and names of files: test_tool_sets.py looks at them."""
"""Sets whose records hold nothing of the answer but its letter, or yes and no."""


def test_every_set_is_looked_at() -> None:
    assert PLANTED.keys() | ONLY_A_LETTER | OF_PLACES == set(BENCHMARKS)


@pytest.mark.parametrize("name", PLANTED)
def test_no_answer_is_part_of_a_case(name: str, copied: Path) -> None:
    pattern, change = PLANTED[name]
    files = [path for path in (copied / benchmark(name).place.split("/")[0]).rglob(pattern) if path.is_file()]
    assert files
    for path in files:
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
        assert MARKER in path.read_text(encoding="utf-8")
    found = loaded(name, copied)
    assert found
    for sample in found:
        assert MARKER.lower() not in sample.case.model_dump_json().lower()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_short_answer_is_not_in_its_case(name: str, fixtures: Path) -> None:
    for sample in loaded(name, fixtures):
        target = sample.target
        names = target.accepted if isinstance(target, Answer) else ()
        names += tuple(text for item in target.items for text in item) if isinstance(target, Answers) else ()
        texts = sample.case.model_dump_json(exclude={"id", "question", "images"}).lower()
        assert not [text for text in names if re.search(rf"\b{re.escape(text.lower())}\b", texts)]


def test_a_diagnosis_is_nowhere_in_the_real_cases(data_dir: Path) -> None:
    each = benchmark("agentclinic")
    if not (data_dir / each.place).exists():
        pytest.skip(f"no {each.published_as}")
    told = 0
    for sample in loaded("agentclinic", data_dir):
        assert isinstance(sample.target, Answer)
        case = sample.case.model_dump_json().lower()
        assert not [text for text in sample.target.accepted if re.search(rf"\b{re.escape(text.lower())}\b", case)]
        told += sample.target.accepted[0].lower() in " ".join(sample.known.values()).lower()
    assert told == 15  # as the module says
