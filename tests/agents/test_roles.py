"""The table of specialties, the prompts and the example cases: complete, consistent, and refused when they are not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import get_args

import pytest
import yaml

from polyclinic.agents import roles
from polyclinic.agents.roles import Prompt, Role, load_roles, prompt, read_roles, role
from polyclinic.core.case import Case, Modality
from polyclinic.core.errors import InputError, SetupError
from polyclinic.tools.imaging.dicom_words import BODY_PARTS

NAMES = (
    "cardiology", "dentistry", "dermatology", "emergency", "endocrinology", "gastroenterology", "general_medicine",
    "haematology", "infectious_disease", "nephrology", "neurology", "neurosurgery", "obstetrics", "oncology",
    "ophthalmology", "orthopaedics", "paediatrics", "pathology", "pulmonology", "radiology", "surgery", "urology",
)  # fmt: skip
EXAMPLES = Path(roles.__file__).parents[1] / "examples"
EXAMPLE_NAMES = {
    "abstain", "blank", "ct", "follow_up", "immunohistochemistry", "microaneurysms", "mr", "multiple_choice",
    "red_flag", "retina", "two_visits", "ultrasound",
}  # fmt: skip
BRITISH = (
    (r"aem(?=i)", "em"), (r"haem", "hem"), (r"oedema", "edema"), (r"tumour", "tumor"), (r"oesoph", "esoph"),
    (r"paed", "ped"), (r"rrhoe", "rrhe"), (r"gynaec", "gynec"), (r"\bfoet", "fet"), (r"\bcaes", "ces"),
    (r"pnoea", "pnea"), (r"leuco", "leuko"), (r"coeliac", "celiac"), (r"labour", "labor"), (r"paraes", "pares"),
    (r"phaeo", "pheo"), (r"naev", "nev"), (r"isation", "ization"), (r"ising", "izing"), (r"melaena", "melena"),
    (r"praevia", "previa"), (r"goitre", "goiter"), (r"neurone\b", "neuron"), (r"fibre", "fiber"), (r"centre", "center"),
)  # fmt: skip
RADIOLOGY_ONLY = """
[radiology]
title = "Radiologist"
scope = "Images."
modalities = ["ct"]
body_parts = []
terms = [{terms}]
domains = ["radiology"]
"""
TERMS = ", ".join(f'"term {letter}"' for letter in "abcdefghijklmnopqrstuvwxyz")

each_role = pytest.mark.parametrize("one", load_roles(), ids=lambda one: one.name)


def american(term: str) -> str:
    for british, other in BRITISH:
        term = re.sub(british, other, term)
    return term


def test_the_table_holds_every_specialty_in_order() -> None:
    assert tuple(one.name for one in load_roles()) == NAMES


def test_a_role_is_found_by_name() -> None:
    assert role("ophthalmology").title == "Ophthalmologist"


def test_an_unknown_role_is_refused_with_the_names_to_choose_from() -> None:
    with pytest.raises(InputError, match=r"'astrology'.*cardiology, dentistry"):
        role("astrology")


def test_every_modality_is_read_by_a_role() -> None:
    read = {modality for one in load_roles() for modality in one.modalities}
    assert read == set(get_args(Modality))


def test_every_body_part_a_dicom_header_can_name_belongs_to_a_role() -> None:
    assert set(BODY_PARTS.values()) <= {part for one in load_roles() for part in one.body_parts}


@each_role
def test_terms_are_distinct_lower_case_and_enough(one: Role) -> None:
    assert 25 <= len(one.terms) <= 60
    assert len(set(one.terms)) == len(one.terms)
    assert all(term == term.lower().strip() for term in one.terms)


@each_role
def test_a_british_term_brings_its_american_twin(one: Role) -> None:
    assert [term for term in one.terms if american(term) not in one.terms] == []


@each_role
def test_domains_are_roles_and_begin_with_the_role_itself(one: Role) -> None:
    assert one.domains[0] == one.name
    assert set(one.domains) <= set(NAMES)
    assert len(one.domains) > 1


@each_role
def test_role_prompts_have_the_right_length_and_parts(one: Role) -> None:
    assert 80 <= len(one.prompt.split()) <= 160
    assert one.prompt.startswith("You read ")
    for part in ("Mimics and traps:", "Never leave unmentioned:", 'Say "not from this material"'):
        assert part in " ".join(one.prompt.split())


def test_no_prompt_lies_unused() -> None:
    folder = roles.FOLDER / "prompts"
    assert {path.stem for path in (folder / "roles").iterdir()} == set(NAMES)
    assert {path.stem for path in folder.glob("*.md")} == set(get_args(Prompt))


@pytest.mark.parametrize("name", sorted({*get_args(Prompt)} - {"repair"}))
def test_shared_prompts_have_the_right_length(name: Prompt) -> None:
    assert 100 <= len(prompt(name).split()) <= 250


def test_the_preamble_states_the_rules_the_rest_relies_on() -> None:
    text = " ".join(prompt("preamble").split())
    for rule in ("not a medical device", "<<<untrusted", "untrusted>>>", "unit", "left or right", "Abstain", "by id"):
        assert rule in text


def test_prompts_show_no_evidence_id_a_model_could_copy() -> None:
    texts = [*(prompt(name) for name in get_args(Prompt)), *(one.prompt for one in load_roles())]
    assert [text for text in texts if re.search(r"\b[a-z_]+\.[a-z]\d", text)] == []


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A folder with a valid table of one role, to be spoilt."""
    (tmp_path / "prompts" / "roles").mkdir(parents=True)
    (tmp_path / "prompts" / "roles" / "radiology.md").write_text("You read images.", encoding="utf-8")
    (tmp_path / "roles.toml").write_text(RADIOLOGY_ONLY.format(terms=TERMS), encoding="utf-8")
    return tmp_path


def test_a_small_table_is_read(table: Path) -> None:
    (one,) = read_roles(table)
    assert (one.name, one.prompt, one.modalities) == ("radiology", "You read images.", ("ct",))


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ('"term b"', '"term a"', "given twice: term a"),
        ('"term b"', '"Term B"', r"terms\.1 in \[radiology\]"),
        ('"term b"', '"tb"', r"terms\.1 in \[radiology\]"),
        (TERMS, '"term a"', r"terms in \[radiology\].*at least 25"),
        ('["ct"]', '["cta"]', r"modalities\.0 in \[radiology\]"),
        ('domains = ["radiology"]', 'domains = ["radiology", "astrology"]', "domains of radiology.*astrology"),
        ('domains = ["radiology"]', "domains = []", r"domains in \[radiology\]"),
        ('domains = ["radiology"]', 'domains = ["surgery"]', "must be the role itself, not 'surgery'"),
        ('title = "Radiologist"', "", r"title in \[radiology\]"),
        ('title = "Radiologist"', 'title = "Radiologist"\ncolour = "red"', r"colour in \[radiology\]"),
        ("[radiology]", "radiology = 1\n[other]", r"a table \[radiology\]|the file other.md"),
        ("[radiology]", "[radiology", "valid TOML"),
        ("[radiology]", "[astrology]", "the file astrology.md"),
    ],
)
def test_a_spoilt_table_is_refused_with_the_place(table: Path, good: str, bad: str, said: str) -> None:
    path = table / "roles.toml"
    text = path.read_text(encoding="utf-8")
    assert good in text
    path.write_text(text.replace(good, bad), encoding="utf-8")
    with pytest.raises(SetupError, match=said) as caught:
        read_roles(table)
    assert "mend " in caught.value.fix


def test_a_missing_table_and_an_empty_prompt_are_refused(table: Path) -> None:
    (table / "prompts" / "roles" / "radiology.md").write_text(" \n", encoding="utf-8")
    with pytest.raises(SetupError, match="an empty file"):
        read_roles(table)
    shutil.rmtree(table)
    with pytest.raises(SetupError, match=r"the file roles\.toml"):
        read_roles(table)


def test_the_examples_are_the_ones_we_document() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == EXAMPLE_NAMES


@pytest.mark.parametrize("name", sorted(EXAMPLE_NAMES))
def test_an_example_is_a_case_and_says_where_it_comes_from(name: str) -> None:
    text = (EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")
    case = Case.model_validate(yaml.safe_load(text))
    assert case.id == name.replace("_", "-")
    comment = " ".join(line[1:].strip() for line in text.splitlines() if line.startswith("#"))
    assert "Image:" in comment if case.images else "nvented by us" in comment


@pytest.mark.parametrize("name", sorted(EXAMPLE_NAMES))
def test_the_images_of_an_example_exist(name: str) -> None:
    case = Case.model_validate(yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")))
    for image in case.all_images():
        assert image.path is not None
        package, _, inner = image.path.removeprefix("package://").partition("/")
        if image.path.startswith("package://"):
            module = pytest.importorskip(package)
            assert (Path(module.__file__).parent / inner).is_file()
        else:
            assert (EXAMPLES / image.path).is_file()


def test_the_follow_up_is_one_course_that_can_be_judged() -> None:
    case = Case.model_validate(yaml.safe_load((EXAMPLES / "follow_up.yaml").read_text(encoding="utf-8")))
    courses = {
        lab.name: [found.value for visit in case.visits for found in visit.labs if found.name == lab.name]
        for lab in case.visits[0].labs
    }
    assert len(case.visits) == 3
    assert courses["creatinine"] == sorted(courses["creatinine"])
    assert courses["eGFR"] == sorted(courses["eGFR"], reverse=True)
    assert courses["HbA1c"] == sorted(courses["HbA1c"], reverse=True)
    assert [value > 5.1 for value in courses["potassium"]] == [False, False, True]
    for visit in case.visits:
        creatinine, egfr = (next(lab.value for lab in visit.labs if lab.name == n) for n in ("creatinine", "eGFR"))
        assert egfr == pytest.approx(ckd_epi_2021_man(creatinine, age=62 if visit.date.year == 2024 else 63), abs=1)


def ckd_epi_2021_man(creatinine_umol_l: float, *, age: int) -> float:
    """eGFR in mL/min/1.73 m² for a man (Inker et al. 2021, doi:10.1056/NEJMoa2102953), creatinine above 80 umol/L."""
    return 142 * float((creatinine_umol_l / 88.42 / 0.9) ** -1.200) * float(0.9938**age)
