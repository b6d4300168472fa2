"""The ontology: its findings hang together and point to what exists, and texts name them by any of their names."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.agents.roles import load_roles
from polyclinic.core.case import Modality
from polyclinic.core.errors import SetupError
from polyclinic.knowledge import ontology
from polyclinic.knowledge.corpus import shipped_passages
from polyclinic.knowledge.ontology import (
    FILE,
    Finding,
    findings_in,
    ontology_version,
    read_ontology,
    related,
    shipped_ontology,
)
from polyclinic.knowledge.text import terms

FINDINGS = {finding.id: finding for finding in shipped_ontology()}
NAMES = [(name, finding) for finding in shipped_ontology() for name in finding.names]
ENTRY = """
[[finding]]
id = "{id}"
name = "{name}"
modalities = ["xray"]
body_parts = ["chest"]
specialties = ["radiology"]
mimics = [{mimics}]
[finding.attributes]
{kind} = ["round"]
"""


def entry(key: str = "one", name: str = "a nodule", mimics: str = "", kind: str = "shape") -> str:
    return ENTRY.format(id=key, name=name, mimics=mimics, kind=kind)


def ids(text: str) -> list[str]:
    return [finding.id for finding in findings_in(text)]


def test_there_are_enough_and_they_are_sorted() -> None:
    assert len(shipped_ontology()) >= 90
    assert [finding.id for finding in shipped_ontology()] == sorted(FINDINGS)


def test_every_modality_has_findings() -> None:
    counts = Counter(modality for finding in shipped_ontology() for modality in finding.modalities)
    assert {modality: counts[modality] for modality in get_args(Modality) if counts[modality] < 3} == {}


def test_specialties_and_body_parts_are_those_of_the_roles() -> None:
    roles = load_roles()
    assert {key for finding in shipped_ontology() for key in finding.specialties} <= {role.name for role in roles}
    known = {part for role in roles for part in role.body_parts} | {"ear"}  # no role reads ears alone
    assert {part for finding in shipped_ontology() for part in finding.body_parts} <= known


@pytest.mark.parametrize("finding", shipped_ontology(), ids=lambda finding: finding.id)
def test_a_finding_points_to_passages_that_exist_name_it_and_show_it(finding: Finding) -> None:
    shipped = {passage.id: passage for passage in shipped_passages()}
    assert finding.passages
    passages = [shipped[key] for key in finding.passages]
    assert any(finding in findings_in(f"{passage.title}. {passage.text}") for passage in passages)
    assert any(not p.modalities or not set(p.modalities).isdisjoint(finding.modalities) for p in passages)


def test_every_passage_about_the_look_of_a_finding_is_pointed_to() -> None:
    """Those not pointed to are of measurements, stains and scores, or of a disease without a finding here."""
    used = {key for finding in shipped_ontology() for key in finding.passages}
    left = {passage.id for passage in shipped_passages() if passage.modalities} - used
    assert left <= {
        "cardiology.ejection-fraction-echo", "general_medicine.giant-cell-arteritis", "haematology.anaemia",
        "ophthalmology.vessel-calibre", "pathology.dab-haematoxylin", "pathology.her2", "pathology.ki67",
        "pathology.oestrogen-receptor", "radiology.hounsfield-units", "radiology.muscle-fat-attenuation",
    }  # fmt: skip


@pytest.mark.parametrize("finding", shipped_ontology(), ids=lambda finding: finding.id)
def test_a_finding_is_written_as_prompts_can_use_it(finding: Finding) -> None:
    phrases = [phrase for several in finding.attributes.values() for phrase in several]
    assert len(phrases) >= 2
    assert len({phrase.casefold() for phrase in phrases}) == len(phrases)
    for phrase in phrases:
        assert len(phrase.split()) <= 12
        assert not re.search(r"[.:;]$|^\s|\s$|\b(?:no|not) (?:finding|abnormality)", phrase)
    for several in (finding.names, finding.modalities, finding.body_parts, finding.specialties, finding.mimics):
        assert len(set(several)) == len(several)


def test_mimics_are_related_both_ways() -> None:
    for finding in shipped_ontology():
        assert finding not in related(finding)
        assert set(finding.mimics) <= {other.id for other in related(finding)}
        assert all(finding in related(other) for other in related(finding))
    assert {"brain-abscess", "glioma"} <= {other.id for other in related(FINDINGS["brain-metastasis"])}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Pulmonary edema with pleural effusions.", ["pulmonary-oedema", "pleural-effusion"]),
        ("Pleural effusions, then pulmonary oedema.", ["pleural-effusion", "pulmonary-oedema"]),
        ("hemorrhagic stroke", ["intracerebral-haemorrhage"]),
        ("A stroke.", ["ischaemic-stroke"]),
        ("non-ST-elevation myocardial infarction", ["non-st-elevation-infarction"]),
        ("Non-Hodgkin lymphoma, not Hodgkin lymphoma.", ["lymphoma"]),
        ("Hepatic hemangioma; a hemangioma of the arm.", ["liver-haemangioma", "vascular-skin-lesion"]),
        ("Cotton-wool spots and DRUSEN", ["cotton-wool-spots", "drusen"]),
        ("Barrett's esophagus", ["barrett-oesophagus"]),
        ("branch retinal vein occlusion (BRVO)", ["retinal-vein-occlusion"]),
        ("Suspected PE or DVT", ["pulmonary-embolism", "deep-vein-thrombosis"]),
        ("several DVTs", ["deep-vein-thrombosis"]),
        ("ich, iCH and Ich are no abbreviations; ICH is one", ["intracerebral-haemorrhage"]),
        ("an edematous lung, a pleural rub", []),
        ("retinal. Detachment.", []),
        ("pleural, effusion", []),
        ("", []),
    ],
)
def test_a_text_names_findings_as_whole_words_longest_first_in_any_spelling(text: str, named: list[str]) -> None:
    assert ids(text) == named


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("No pneumothorax, consolidation or pleural effusion.", []),
        ("Pneumothorax is not seen.", []),
        ("There is no evidence of acute appendicitis.", []),
        ("The film rules out pneumonia.", []),
        ("Findings are not consistent with glioblastoma.", []),
        ("Absence of drusen.", []),
        ("Pulmonary embolism has been excluded.", []),
        ("Cholecystitis is unlikely.", []),
        ("She doesn't have appendicitis.", []),
        ("Pneumonia cannot be excluded.", ["pneumonia"]),
        ("No pneumothorax on the right; small pneumothorax on the left.", ["pneumothorax"]),
        ("No pleural effusion. Later a pleural effusion was seen.", ["pleural-effusion"]),
        ("No fever, but consolidation of the left lower lobe.", ["consolidation"]),
        ("Is there a macular hole?", ["macular-hole"]),
    ],
)
def test_what_a_text_only_denies_it_does_not_state(text: str, named: list[str]) -> None:
    assert ids(text) == named


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Stroke volume fell after the heat stroke.", []),
        ("Tumor necrosis factor and avascular necrosis.", []),
        ("Subcutaneous emphysema beside a pneumothorax.", ["pneumothorax"]),
        ("My mom had non-Hodgkin's lymphoma; he has lymphoma.", ["lymphoma"]),
        ("In the lateral decubitus position he takes NPH insulin.", []),
        ("She takes part in colon cancer screening and got the shingles vaccine.", []),
        ("Bullae of the skin, esophageal thrush, fungal esophagitis, lytic varices of the leg.", []),
        ("A sickle cell gene, a large bowel obstruction, lobar volume loss.", ["atelectasis"]),
    ],
)
def test_a_phrase_that_only_holds_a_name_names_nothing(text: str, named: list[str]) -> None:
    assert ids(text) == named


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Her father died of colon cancer at 60.", []),
        ("FAMILY HISTORY  Maternal grandfather: pancreatic cancer.", []),
        ("Family history is notable for glaucoma in his father.", []),
        ("Colon cancer on her mother's side.", []),
        ("A sister with breast cancer; she has a breast mass.", ["breast-mass"]),
        ("His father had gout and he has cellulitis.", ["cellulitis"]),
        ("He was brought in by his mother because he has otitis media.", ["otitis-media"]),
        ("His mother says the child had pneumonia.", ["pneumonia"]),
        ("A woman with a family history of colon cancer has a rectal polyp.", ["colorectal-polyp"]),
        ("The patient, whose father died of melanoma, has a breast mass.", ["breast-mass"]),
        ("The parents have brought their son with intussusception.", ["intussusception"]),
        ("His wife has noticed that he has a melanoma.", ["melanoma"]),
        ("At risk of stroke because of atrial fibrillation.", ["atrial-fibrillation"]),
        ("I don't think the fracture is old.", ["fracture"]),
        ("Is there a fracture?\nno\nyes", ["fracture"]),
        ("Is there a fracture? No.", []),
        ("Is it pneumonia? No, it is pulmonary oedema.", ["pulmonary-oedema"]),
        ("Any history of stroke? Patient: No, never. Pneumonia? Yes.", ["pneumonia"]),
        ("Do you have gout? [patient] no , never", []),
        ("Apart from the melanoma, any weight loss? No.", ["melanoma"]),
        ("Melanocytic nevus: not identified.", []),
        ("I do not appreciate any fracture.", []),
        ("I don't think this is a sign of a stroke.", []),
        ("There is a risk of heart attack, stroke, and pulmonary embolism.", []),
        ("Low probability for pulmonary embolism.", []),
        ("RBC casts Nil.", []),
    ],
)
def test_what_a_relative_has_a_no_answers_or_only_threatens_is_not_stated(text: str, named: list[str]) -> None:
    assert ids(text) == named


def test_no_abbreviation_has_only_two_letters() -> None:
    """PE is also a physical examination, AF afebrile, UC urgent care: what short ones mean depends on the writer."""
    assert [name for name, _ in NAMES if name == name.upper() and len(name) < 3] == []


@pytest.mark.parametrize("finding", shipped_ontology(), ids=lambda finding: finding.id)
def test_a_phrase_unlike_a_finding_does_not_name_it(finding: Finding) -> None:
    for phrase in finding.unlike:
        assert finding not in findings_in(f"The picture shows {phrase} today.")


@pytest.mark.parametrize(("name", "finding"), NAMES, ids=[name for name, _ in NAMES])
def test_every_name_finds_its_finding(name: str, finding: Finding) -> None:
    assert findings_in(f"The picture shows {name} today.") == (finding,)


@given(st.lists(st.sampled_from(NAMES), max_size=8))
def test_names_are_found_in_the_order_of_their_sentences(named: list[tuple[str, Finding]]) -> None:
    text = " ".join(f"The picture shows {name} today." for name, _ in named)
    assert findings_in(text) == tuple(dict.fromkeys(finding for _, finding in named))


names = st.sampled_from([name for name, _ in NAMES])
signs = st.sampled_from(["no", "not", "without", ",", ".", ";", "or", "but", "is", "seen", "excluded", "n't", "(", "/"])
denials = st.sampled_from([
    "absent", "denies", "negative for", "never", "neither", "nor", "lacks", "unlikely", "ruled out", "free of",
    "against", "rather than", "instead of", "missing", "normal", "denied", "improbable", "excludes", "cannot",
    "absence of", "isn’t", "nil", ": n/a", "risk of", "low likelihood of", "do not think it is", ": not identified",
])  # fmt: skip


@given(st.text(max_size=300) | st.lists(signs | names).map(" ".join))
def test_any_text_names_each_finding_at_most_once_and_only_in_its_words(text: str) -> None:
    found = findings_in(text)
    assert len(set(found)) == len(found)
    assert findings_in(text) == found
    said = set(terms(text))
    assert all(any(set(terms(name)) <= said for name in finding.names) for finding in found)


@given(st.lists(signs | names | denials).map(" ".join))
def test_the_short_way_past_sentences_that_deny_nothing_changes_nothing(text: str) -> None:
    quick = findings_in(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ontology, "_MAY_DENY", re.compile(""))
        assert findings_in(text) == quick


def test_it_is_quick_enough_for_every_case() -> None:
    text = " ".join(" ".join(passage.text for passage in shipped_passages()).split()[3000:3300])
    findings_in(text)
    spent = []
    for _ in range(50):
        start = time.thread_time()
        findings_in(text)
        spent.append(time.thread_time() - start)
    assert min(spent) < 0.003, "about half a millisecond on an idle machine"


@pytest.mark.parametrize(
    "piece", ["no pneumothorax ", "pulmonary not pulmonary oedema ", "acute ", "no " * 20, "\u0130x, "]
)
def test_a_long_sentence_costs_no_more_a_word_than_a_short_one(piece: str) -> None:
    start = time.perf_counter()
    findings_in(piece * (50_000 // len(piece)))
    assert time.perf_counter() - start < 5


def test_the_version_is_a_hash_of_the_findings() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", ontology_version())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("finding = 3", "finding"),
        ("[[finding]", "Expected"),
        ('[[finding]]\nid = "x"', "name"),
        (entry(kind="smell"), "smell"),
        (entry() + entry(), "two findings share the id one"),
        (entry() + entry("two", "a Nodule"), "one and two share the name 'a Nodule'"),
        (entry(name="the"), "one has the name 'the', which holds no word to look for"),
        (
            entry().replace("[finding.attributes]", 'unlike = ["a cyst"]\n[finding.attributes]'),
            "one is unlike 'a cyst'",
        ),
        (entry(mimics='"two"'), "one has the mimic two, which is no other finding"),
        (entry(mimics='"one"'), "one has the mimic one, which is no other finding"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SetupError, match=r"broken\.toml") as error:
        read_ontology(path)
    assert said in str(error.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"valid findings in none\.toml"):
        read_ontology(tmp_path / "none.toml")


def test_a_file_of_ones_own_is_read_like_the_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(entry("two", "a cyst", '"one"') + entry(), encoding="utf-8")
    assert [finding.id for finding in read_ontology(path)] == ["one", "two"]
    assert read_ontology(FILE) == shipped_ontology()
