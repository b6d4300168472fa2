"""Which files of a folder are read, in which order, and what a source is called."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.knowledge.sources.medrag import MedRag
from polyclinic.knowledge.sources.place import cited, plain_name, plain_suffix, walk, written


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def listed(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in walk(folder)]


def test_a_folder_is_read_in_the_order_of_its_names_whatever_the_disk_says(tmp_path: Path) -> None:
    put(tmp_path, "b.txt", "a/z.txt", "a.txt", "Ärzte/é.txt", "a/b/c.txt", "痛み.txt")
    assert listed(tmp_path) == ["a.txt", "b.txt", "痛み.txt", "a/z.txt", "a/b/c.txt", "Ärzte/é.txt"]
    source = MedRag(path=tmp_path, name="x", licence="CC0")
    put(tmp_path, "2.jsonl", "z.jsonl", "10.jsonl.gz", "a/1.NDJSON")
    assert [source.shown(path) for path in source.files()] == ["10.jsonl.gz", "2.jsonl", "a/1.NDJSON", "z.jsonl"]


def test_a_source_is_the_files_that_were_there_when_it_was_first_asked(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "1", "title": "t", "content": "c"}')
    put(tmp_path, "notes.docx")
    source = MedRag(path=tmp_path, name="x", licence="CC0")
    files = source.files()
    (tmp_path / "b.jsonl").write_text('{"id": "2", "title": "t", "content": "c"}')
    for _ in range(2):
        assert [document.id for document in source.documents()] == ["1"]
        assert source.skipped == {"a file of another kind (.docx)": 1}
    assert source.files() == files
    assert len(list(MedRag(path=tmp_path, name="x", licence="CC0").documents())) == 2


def test_hidden_files_and_words_about_the_folder_are_left_out(tmp_path: Path) -> None:
    put(
        tmp_path,
        ".hidden.txt",
        ".git/config.txt",
        "SOURCE.txt",
        "LICENSE",
        "LICENSE_of_repo",
        "licence.md",
        "README.md",
    )
    put(tmp_path, "source-control-of-bleeding.md", "licensed-drugs.txt", "source.json")
    assert listed(tmp_path) == ["licensed-drugs.txt", "source-control-of-bleeding.md", "source.json"]


def test_links_may_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    put(tmp_path, "outside/secret.txt", "in/real.txt")
    (tmp_path / "in" / "inner.txt").symlink_to(tmp_path / "in" / "real.txt")
    (tmp_path / "in" / "outer.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "outside")
    (tmp_path / "in" / "loop.txt").symlink_to(tmp_path / "in" / "loop.txt")
    (tmp_path / "in" / "broken.txt").symlink_to(tmp_path / "in" / "gone.txt")
    skipped: Counter[str] = Counter()
    assert [path.name for path in walk(tmp_path / "in", skipped)] == ["inner.txt", "real.txt"]
    assert skipped == {"a link that leads out of the folder or nowhere": 3, "a link to a folder": 1}


def test_names_that_are_no_text_and_pipes_are_left_out(tmp_path: Path) -> None:
    put(tmp_path, "good.txt", "line\nbreak.txt")
    with contextlib.suppress(OSError):  # a file system that takes no such name
        Path(os.fsdecode(os.fsencode(str(tmp_path)) + b"/bad\xff.txt")).write_text("x")
    os.mkfifo(tmp_path / "pipe.txt")
    skipped: Counter[str] = Counter()
    assert [path.name for path in walk(tmp_path, skipped)] == ["good.txt"]
    assert skipped["what is no file"] == 1
    assert skipped["a file whose name is no text"] in (1, 2)
    with pytest.raises(InputError, match=r"a file or folder"):
        list(walk(tmp_path / "pipe.txt"))


def test_a_folder_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.txt", "shut/b.txt")
    scandir = os.scandir

    def guarded(path: str) -> object:  # to root, who may run the tests, no folder is shut
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(InputError, match=r"a folder that may be read.*shut.*Permission denied"):
        listed(tmp_path)


def test_files_of_other_kinds_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "1", "title": "T", "content": "C"}')
    put(tmp_path, "b.DOCX", "c.docx", "plain")
    source = MedRag(path=tmp_path, name="x", licence="CC0")
    assert len(list(source.documents())) == 1
    assert source.skipped == {"a file of another kind (.docx)": 2, "a file of another kind (no suffix)": 1}


def test_a_source_without_files_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.csv")
    with pytest.raises(InputError, match=r"files of the kind medrag \(\.jsonl, \.ndjson\)"):
        MedRag(path=tmp_path, name="x", licence="CC0").files()
    with pytest.raises(InputError, match=r"none at"):
        MedRag(path=tmp_path / "gone", name="x", licence="CC0").files()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("medquad.jsonl.gz", "medquad"), ("Lehrbücher & Leitlinien 2024.md", "lehrbucher-leitlinien-2024"),
     ("痛み.txt", "source"), ("a" * 90 + ".txt", "a" * 48), ("..a..b.txt", "a-b")],
)  # fmt: skip
def test_a_source_is_called_after_its_file(tmp_path: Path, name: str, expected: str) -> None:
    put(tmp_path, name)
    assert plain_name(tmp_path / name) == expected


def test_a_source_is_called_after_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "Open_Texts.v2"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert plain_name(folder) == plain_name(Path()) == "open-texts-v2"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=40))
@example("-")
def test_every_name_gives_a_name_of_letters_digits_and_hyphens(name: str) -> None:
    plain = plain_name(Path("nowhere") / name)
    assert plain
    assert plain == plain.strip("-")
    assert set(plain) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_a_suffix_is_that_under_the_compression() -> None:
    assert [plain_suffix(Path(name)) for name in ("a.XML.gz", "a.gz", "a.b.json", "a")] == [".xml", "", ".json", ""]


def test_citations_and_modalities_read_as_words() -> None:
    assert cited("Doe J", "", "Does it work?", "Lancet 2019.", "PMID 1") == "Doe J. Does it work? Lancet 2019. PMID 1"
    assert cited("", "") == ""
    assert (written("xray"), written("blood_smear")) == ("X-ray", "blood smear")
