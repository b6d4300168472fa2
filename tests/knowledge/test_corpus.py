"""The shipped passages: whole, cited, findable; and a damaged file is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from polyclinic.core.errors import SetupError
from polyclinic.knowledge.corpus import DOMAINS, read_passages, shipped_passages
from polyclinic.knowledge.index import Index
from polyclinic.knowledge.store import Query

ASKED = {
    "How many microaneurysms are there in mild diabetic retinopathy?": "ophthalmology.retinopathy-severity",
    "Is a vertical cup-to-disc ratio of 0.8 suspicious of glaucoma?": "ophthalmology.glaucoma-cup-disc",
    "arteriovenous nicking and copper wiring": "ophthalmology.hypertensive-retinopathy",
    "large drusen macular degeneration stage": "ophthalmology.macular-degeneration-drusen",
    "CRAE CRVE arteriole to venule ratio": "ophthalmology.vessel-calibre",
    "bilateral papilledema grading": "ophthalmology.papilloedema",
    "brown DAB and blue hematoxylin separation": "pathology.dab-haematoxylin",
    "HER2 2+ equivocal what next": "pathology.her2",
    "What share of tumor nuclei makes estrogen receptor positive?": "pathology.oestrogen-receptor",
    "count mitoses for Nottingham grade": "pathology.breast-grade-mitoses",
    "Hounsfield units of fat and water": "radiology.hounsfield-units",
    "7 mm solid lung nodule follow-up": "radiology.pulmonary-nodule",
    "aortic aneurysm 56 mm repair": "radiology.aortic-aneurysm",
    "biconvex lens-shaped epidural hematoma": "neurology.extra-axial-haemorrhage",
    "dural tail enhancement extra-axial mass": "neurology.meningioma",
    "McDonald criteria dissemination in space": "neurology.multiple-sclerosis",
    "ejection fraction biplane Simpson apical views": "cardiology.ejection-fraction-echo",
    "gallbladder wall thickening Murphy sign": "radiology.gallstones-cholecystitis",
    "taller than wide thyroid nodule": "radiology.thyroid-nodule",
    "noncompressible femoral vein thrombosis": "radiology.leg-vein-thrombosis",
    "pneumothorax 3 cm rim": "pulmonology.pneumothorax",
    "heart width over thoracic width ratio on PA film": "radiology.cardiothoracic-ratio",
    "blunted costophrenic angle effusion volume": "radiology.pleural-effusion-radiograph",
    "ABCD rule total dermoscopy score": "dermatology.abcd-dermoscopy",
    "hemoglobin 11 g/dL woman anemia": "haematology.anaemia",
    "HbA1c threshold for diabetes": "laboratory.diabetes-diagnosis",
    "eGFR 50 chronic kidney disease stage": "laboratory.chronic-kidney-disease",
    "potassium 6.8 ECG calcium": "laboratory.hyperkalaemia",
    "troponin chest pain infarction": "cardiology.troponin",
    "septic shock lactate vasopressors": "emergency.sepsis-definition",
    "age-adjusted D-dimer pulmonary embolism": "pulmonology.pulmonary-embolism",
    "white spot lesion caries cavity": "dentistry.dental-caries",
    "proteinuria hypertension pregnancy": "obstetrics.pre-eclampsia",
    "negative hip radiograph MRI fracture": "orthopaedics.hip-fracture",
    "infant two months 38 degrees fever": "paediatrics.febrile-child",
}
OFF_TOPIC = [
    "What is the capital of France?",
    "best recipe for pizza dough",
    "Who won the football championship in 1998?",
    "stock market prices today",
    "How do I reset my router password?",
]


@pytest.fixture(scope="module")
def index() -> Index:
    return Index(shipped_passages())


def test_there_are_enough_and_each_is_cited_and_sorted() -> None:
    passages = shipped_passages()
    assert len(passages) >= 40
    assert [p.id for p in passages] == sorted({p.id for p in passages})
    for p in passages:
        assert re.search(r"\b(19|20)\d\d\b", p.citation), f"{p.id} names no year"
        assert p.licence == "Apache-2.0"
        assert p.patient_id is None
        assert set(p.domains) <= set(DOMAINS)
        assert 60 <= len(p.text.split()) <= 150
    assert {domain for p in passages for domain in p.domains} == set(DOMAINS)


def test_most_questions_find_their_passage_first(index: Index) -> None:
    first = {asked: [hit.passage.id for hit in index.search(Query(text=asked))][:1] for asked in ASKED}
    missed = {asked: found for asked, found in first.items() if found != [ASKED[asked]]}
    assert len(missed) <= 3, missed


@pytest.mark.parametrize("asked", OFF_TOPIC)
def test_off_topic_questions_find_no_support(index: Index, asked: str) -> None:
    assert index.search(Query(text=asked)) == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("passage = 3", "passage"),
        ("[[passage]", "Expected"),
        (
            '[[passage]]\nid = "a.b"\ntitle = "t"\ndomains = ["radiology"]\n'
            'citation = "A guideline of somebody 2020"\ntext = "too short"',
            "60 to 150 words",
        ),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SetupError, match=r"broken\.toml") as error:
        read_passages(path)
    assert said in str(error.value)
