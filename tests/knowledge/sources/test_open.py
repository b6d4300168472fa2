"""What the user types becomes the right source, under a stated licence, or an error that says what to type."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError, SetupError
from polyclinic.knowledge.sources.detect import KINDS, Kind, detect, top_level
from polyclinic.knowledge.sources.licence import licence_for
from polyclinic.knowledge.sources.open import open_source
from polyclinic.tools.imaging.store import read_dicom_facts

RECORDS: dict[str, dict[str, Any]] = {
    "medquad": {"id": "1", "source": "A", "url": "u", "focus": "F", "question": "Q?", "answer": "A."},
    "medrag": {"id": "1", "title": "T", "content": "C", "contents": "T. C"},
    "captions": {"image": "a.png", "caption": "C", "meta": {"question": "no top-level key"}},
    "bioasq": {"username": "x", "questions": [{"id": "1", "body": "Q?", "snippets": [{"text": "S"}]}]},
    "fhir": {"resourceType": "Bundle", "type": "collection", "entry": []},
}


def fill(folder: Path, kind: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if kind in RECORDS:
        name = {"bioasq": "q.json", "fhir": "Jane_Doe.json.gz"}.get(kind, "rows.jsonl")
        data = json.dumps(RECORDS[kind], indent=2 if kind == "bioasq" else None).encode() + b"\n"
        (folder / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    if kind in {"captions", "labelled"}:
        for name in ("a.png", "benign/1.png", "malignant/2.png"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"\x89PNG")
    if kind == "pubmed":
        (folder / "p.xml").write_text('<?xml version="1.0"?>\n<PubmedArticleSet></PubmedArticleSet>')
    if kind == "text":
        (folder / "a.md").write_text("# Title\n{not JSON}")
        (folder / "b.pdf").write_bytes(b"%PDF-1.7")
    if kind == "dicom":
        (folder / "IM1").write_bytes(b"\0" * 128 + b"DICM")
    return folder


VALUES = st.recursive(
    st.text() | st.integers() | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
DETECTABLE = sorted(set(KINDS) - {"shipped"})


@pytest.mark.parametrize("kind", DETECTABLE)
def test_a_folder_is_taken_for_what_it_holds(tmp_path: Path, kind: Kind) -> None:
    folder = fill(tmp_path / "My Data", kind)
    (folder / "README.md").write_text("about these data")
    (folder / "LICENSE").write_text("\n# Example Licence 1.0 #\n\nmore")
    assert detect(folder).kind == kind
    assert detect(folder).reason
    source = open_source(str(folder), read_facts=read_dicom_facts)
    assert source.kind == kind
    assert source.licence == "see LICENSE: Example Licence 1.0"
    typed = open_source(f"{kind}:{folder}", licence="unknown", name="mine", read_facts=read_dicom_facts)
    assert (typed.kind, typed.licence, typed.name) == (kind, "unknown", "mine")
    assert typed.files() == source.files()


@pytest.mark.parametrize("kind", sorted(set(DETECTABLE) - {"labelled"}))
def test_a_single_file_is_taken_for_what_it_holds(tmp_path: Path, kind: Kind) -> None:
    file = sorted(path for path in fill(tmp_path, kind).iterdir() if path.is_file() and path.suffix != ".png")[0]
    source = open_source(str(file), licence="CC0", read_facts=read_dicom_facts)
    assert (source.kind, source.files()) == (kind, (file,))


def test_the_shipped_passages_need_no_path() -> None:
    for spec in ("shipped", "shipped:"):
        source = open_source(spec)
        assert (source.kind, source.name, source.licence) == ("shipped", "shipped", "Apache-2.0")


def test_sources_are_called_after_their_place_but_records_are_not(tmp_path: Path) -> None:
    assert open_source(str(fill(tmp_path / "My Data", "medrag")), licence="CC0").name == "my-data"
    for kind in ("fhir", "dicom"):
        source = open_source(str(fill(tmp_path / f"Doe Jane {kind}", kind)), read_facts=read_dicom_facts)
        assert source.licence == "private record"
        assert source.name.startswith(f"{kind}-")
        assert "doe" not in source.name
        assert "jane" not in source.name


@pytest.mark.parametrize("mixed", [("medquad", "text"), ("pubmed", "fhir"), ("labelled", "dicom")])
def test_a_folder_of_several_kinds_must_be_typed(tmp_path: Path, mixed: tuple[str, str]) -> None:
    for kind in mixed:
        fill(tmp_path, kind)
    with pytest.raises(InputError, match=r"hold one kind of source") as raised:
        open_source(str(tmp_path), licence="CC0")
    assert all(kind in raised.value.got for kind in mixed)
    assert "type KIND:" in raised.value.fix
    assert all(kind in raised.value.fix for kind in KINDS)


@pytest.mark.parametrize("name", ["images", "Masks"])
def test_halves_of_a_segmentation_set_are_no_classes(tmp_path: Path, name: str) -> None:
    fill(tmp_path, "labelled")
    (tmp_path / name).mkdir()
    (tmp_path / name / "1.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"nothing that is known"):
        detect(tmp_path)


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.json", b'[{"id": "1"}]'), ("a.xml", b"<html/>"), ("a.csv", b"a,b"), ("a.jsonl", b'{"id": 1}\n'),
     ("a.json", b'{"resourceType": "Patient"}'), ("a.bin", bytes(range(256))), ("a.json", b"")],
)  # fmt: skip
def test_an_unknown_file_is_refused_with_the_kinds(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=r"nothing that is known.*medquad \(MedQuAD questions"):
        open_source(str(tmp_path / name), licence="CC0")


def test_an_empty_folder_and_a_single_picture_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a folder that is empty"):
        open_source(str(tmp_path), licence="CC0")
    (tmp_path / "a.PNG").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"one folder per label, or captions into a JSONL"):
        open_source(str(tmp_path / "a.PNG"), licence="CC0")


@pytest.mark.parametrize("spec", ["", "medquad:", "gone/away", "medquad:gone", "a\0b"])
def test_a_path_where_nothing_is_is_refused(spec: str) -> None:
    with pytest.raises(InputError, match=r"where nothing is.*the kinds are bioasq"):
        open_source(spec)


def test_a_kind_that_is_none_is_refused_and_a_colon_in_a_name_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"a kind of source before the colon; got 'medquat'"):
        open_source("medquat:rows.jsonl")
    (tmp_path / "note:one.md").write_text("# T")
    assert open_source("note:one.md", licence="CC0").kind == "text"


@pytest.mark.parametrize(
    ("options", "match"),
    [({"modality": "sonar"}, r"a modality; got 'sonar'"), ({"name": "My Name"}, r"lower case letters, digits"),
     ({"name": ""}, r"lower case letters"), ({"licence": " "}, r"the licence of")],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, str], match: str) -> None:
    with pytest.raises(InputError, match=match):
        open_source(str(fill(tmp_path, "text")), **{"licence": "CC0", **options})


def test_dicom_needs_a_reader_of_headers(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"a reader of DICOM headers"):
        open_source(str(fill(tmp_path, "dicom")))


def test_the_user_s_words_reach_the_documents(tmp_path: Path) -> None:
    source = open_source(str(fill(tmp_path, "medrag")), licence="CC BY 4.0", citation="Open Textbook", modality="xray")
    (document,) = source.documents()
    assert (document.licence, document.citation) == ("CC BY 4.0", "T. Open Textbook. 1")
    assert document.modalities == ("xray",)


@pytest.mark.parametrize(
    ("files", "stated", "known", "expected"),
    [
        ({}, "CC0", "x", "CC0"),
        ({}, " unknown ", None, "unknown"),
        ({}, None, "CC BY 4.0", "CC BY 4.0"),
        ({"SOURCE.txt": "repo: x\nLicense: CC0 (README)\nlicence: later"}, None, "x", "see SOURCE.txt: CC0 (README)"),
        ({"SOURCE.txt": "repo: x", "LICENCE.md": "\n## MIT Licence\nmore"}, None, "x", "see LICENCE.md: MIT Licence"),
        ({"SOURCE.txt": "repo: x", "LICENSE": " \n"}, None, "known", "known"),
        ({"SOURCE.txt": "license: " + "x" * 5000}, None, None, "see SOURCE.txt: " + "x" * 80 + " …"),
        ({"SOURCE.txt": "license: " + "word " * 90}, None, None, "see SOURCE.txt: " + "word " * 16 + "…"),
        ({"SOURCE.txt": "license: CC BY 4.0 (its LICENSE); sites are of the NIH"}, None, None,
         "see SOURCE.txt: CC BY 4.0 (its LICENSE)"),
        ({"SOURCE.txt": "license: no LICENSE in repo; images CC0"}, None, None, "see SOURCE.txt: images CC0"),
        ({"SOURCE.txt": "license: no LICENSE file"}, None, "known", "known"),
    ],
)  # fmt: skip
def test_the_licence_is_the_user_s_else_what_lies_there_else_the_format_s(
    tmp_path: Path, files: dict[str, str], stated: str | None, known: str | None, expected: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    data = tmp_path / "a.md"
    data.write_text("x")
    assert licence_for(tmp_path, stated, known) == licence_for(data, stated, known) == expected


def test_nothing_gets_in_without_a_licence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the licence of.*--licence unknown"):
        open_source(str(fill(tmp_path, "pubmed")))


@given(st.dictionaries(st.text(), VALUES, max_size=4), st.sampled_from([None, 2]), st.integers(0, 400))
@example({"a": '"}\\', "b": {"c": [1]}, "": 2}, None, 400)
def test_the_keys_of_an_object_are_found_in_its_beginning(value: dict[str, Any], indent: int | None, cut: int) -> None:
    written = json.dumps(value, indent=indent)
    names = [json.dumps(key)[1:-1] for key in value]
    found = list(top_level(written + '\n{"next": 1}'))
    assert found == names
    assert list(top_level(written[:cut]))[: len(names)] == names[: len(top_level(written[:cut]))]


def test_a_hostile_beginning_takes_no_time() -> None:
    assert top_level('{"a": 1, "' + '\\"' * 120_000) == {"a": "1"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("medquad", "medquad"), ("bioasq_golden", "bioasq"), ("us_breast_busi_cls", "labelled"),
     ("cxr_nih1000_64px", "labelled"), ("dicom_samples", "dicom"), ("fhir_synthea_r4", "fhir")],
)  # fmt: skip
def test_real_folders_are_taken_for_what_they_are(data_dir: Path, name: str, kind: str) -> None:
    if not (data_dir / name).is_dir():
        pytest.skip(f"no {name} under {data_dir}")
    source = open_source(str(data_dir / name), read_facts=read_dicom_facts)
    assert source.kind == kind
    assert source.licence.startswith("see SOURCE.txt: ")
