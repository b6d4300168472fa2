"""AgentClinic, its MedQA part: a patient is seen; history, examination and tests are told on asking.

Schmidgall, Ziaei, Harris, Reis, Jopling, Moor: AgentClinic: a multimodal agent benchmark to evaluate AI in simulated
clinical environments. 2024, arXiv:2405.07960. MIT licence. A real record, shortened:

    {"OSCE_Examination": {
      "Objective_for_Doctor": "Assess and diagnose the patient presenting with double vision, difficulty climbing …",
      "Patient_Actor": {"Demographics": "35-year-old female", "History": "The patient reports a 1-month history of …",
        "Symptoms": {"Primary_Symptom": "Double vision", "Secondary_Symptoms": ["Difficulty climbing stairs", …]},
        "Past_Medical_History": …, "Social_History": …, "Review_of_Systems": …},
      "Physical_Examination_Findings": {"Vital_Signs": {"Temperature": "36.6°C (97.9°F)", …}, …},
      "Test_Results": {"Electromyography": {"Findings": "Decreased muscle response with …"}, …},
      "Correct_Diagnosis": "Myasthenia gravis"}}

The case holds the objective, the demographics and the primary symptom. Everything else is told by topic, as in
"history: social history", "examination: vital signs" or "test: electromyography". Records have no ids: a sample is
called by its line.

Traps: the diagnosis must not occur in the case; where a record names it there, it is struck out. What is told may name
it, as a real chart may ("Visualization of internal hemorrhoids"): 15 of the 107 do. The authors let a model judge
whether a diagnosis is the right one; here its published wording counts, with and without what stands in brackets, so
that a right answer in other words counts as wrong. A model wrote the cases from MedQA: its questions leak into them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...core.case import Case
from ..benchmark import Benchmark
from ..sample import Answer, Sample
from .records import Record, lines, samples_of, worded

EXPECTED = "AgentClinic records"
STRUCK_OUT = "[…]"


def samples(path: Path) -> Iterator[Sample]:
    """The samples of a file in the published format (`agentclinic_medqa.jsonl`), in its order."""
    return samples_of(path, _numbered(path), _made, EXPECTED)


def _numbered(path: Path) -> Iterator[Record]:
    for name, record in lines(path, EXPECTED):
        yield name, (int(name.removeprefix("line ")), record)


def _made(named: tuple[int, dict[str, Any]]) -> Iterator[Sample]:
    number, record = named
    seen = record["OSCE_Examination"]
    patient = seen["Patient_Actor"]
    accepted = wordings(seen["Correct_Diagnosis"])
    opening = f"{worded(patient['Demographics'])}. Primary symptom: {worded(patient['Symptoms']['Primary_Symptom'])}"
    case = Case(
        id=f"agentclinic-{number:04}",
        question=without(f"{seen['Objective_for_Doctor'].strip()} What is the diagnosis?", accepted),
        context=(without(opening, accepted),),
    )
    yield Sample(case=case, target=Answer(accepted=accepted), group=case.id, known=topics(seen))


def wordings(diagnosis: str) -> tuple[str, ...]:
    """A diagnosis as it is written, without its brackets, and what stands in them."""
    found = [diagnosis, re.sub(r"\s*\([^)]*\)", "", diagnosis), *re.findall(r"\(([^)]*)\)", diagnosis)]
    return tuple(dict.fromkeys(text.strip() for text in found if text.strip()))


def without(text: str, names: tuple[str, ...]) -> str:
    """The text with every name struck out."""
    for name in names:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", STRUCK_OUT, text, flags=re.IGNORECASE)
    return text


def topics(seen: Mapping[str, Any]) -> dict[str, str]:
    """What can be asked for: topic to text, which says what it is of."""
    patient = dict(seen["Patient_Actor"])
    patient.pop("Demographics")
    symptoms = patient.pop("Symptoms")
    found = {"history: other symptoms": told(symptoms.get("Secondary_Symptoms", ()))}
    for kind, part in (
        ("history", patient),
        ("examination", seen["Physical_Examination_Findings"]),
        ("test", seen["Test_Results"]),
    ):
        found |= {f"{kind}: {_words(name)}": told(value) for name, value in part.items()}
    found["history: present illness"] = found.pop("history: history", "")
    return {topic: f"{topic.partition(': ')[2]}: {text}" for topic, text in found.items() if text}


def told(value: Any) -> str:
    """What a record holds below a topic, as a sentence."""
    if isinstance(value, Mapping):
        parts = {_words(name): told(below) for name, below in value.items()}
        return "; ".join(f"{name}: {text}" for name, text in parts.items() if text)
    if isinstance(value, list | tuple):
        return "; ".join(filter(None, map(told, value)))
    return "" if value is None else str(value).strip()


def _words(name: str) -> str:
    return name.replace("_", " ").strip().lower()


BENCHMARK = Benchmark(
    name="agentclinic",
    summary="a patient to be questioned, examined and diagnosed",
    task="interactive",
    licence="MIT",
    citation="Schmidgall et al., AgentClinic: a multimodal agent benchmark to evaluate AI in simulated clinical "
    "environments, 2024, arXiv:2405.07960",
    published_as="agentclinic_medqa.jsonl of AgentClinic (github.com/SamuelSchmidgall/AgentClinic)",
    place="agentclinic_medqa/agentclinic_medqa.jsonl",
    samples=samples,
)
