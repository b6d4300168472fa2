"""Opening: every damage is named, what is built opens as it was, and encoders must be the ones it was built with."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from polyclinic.core.case import pseudonym
from polyclinic.core.errors import InputError, MissingExtraError, SetupError
from polyclinic.knowledge.index import folder as module
from polyclinic.knowledge.index.build import build_index
from polyclinic.knowledge.index.folder import open_index
from polyclinic.knowledge.index.manifest import Manifest, read_manifest
from polyclinic.knowledge.store import Query


@pytest.fixture
def built(world: ModuleType, tmp_path: Path) -> Path:
    world.write_world(tmp_path / "w")
    build_index(world.plan(tmp_path / "w"), tmp_path / "index")
    return tmp_path / "index"


def test_every_damage_to_every_file_is_named(built: Path) -> None:
    names = sorted(read_manifest(built).files)
    assert names == ["columns.npy", "gains.npy", "lengths.u32", "look.faiss", "meaning.faiss", "passages.sqlite",
                     "pictured.i64", "rows.npy", "starts.npy", "terms.u32"]  # fmt: skip
    for name in names:
        path = built / "0001" / name
        whole = path.read_bytes()
        damages = {
            "cut short": whole[:-1], "empty": b"", "longer": whole + b"\0",
            **{f"flipped {place}": whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
               for place in (0, len(whole) // 2, len(whole) - 1)},
        }  # fmt: skip
        for damage in damages.values():
            path.write_bytes(damage)
            with pytest.raises(SetupError, match=rf"0001/{name}; got"):
                open_index(built)
        path.unlink()
        with pytest.raises(SetupError, match=rf"0001/{name}; got No such file"):
            open_index(built)
        path.mkdir()
        with pytest.raises(SetupError, match=rf"0001/{name}; got"):
            open_index(built)
        path.rmdir()
        path.write_bytes(whole)
    open_index(built).close()


def test_a_damaged_manifest_is_a_clear_error(built: Path) -> None:
    path = built / "manifest.json"
    whole = path.read_text()
    fields = json.loads(whole)
    altered = [
        "", "{", "[]", "null", "3", '"x"', "[" * 5000, whole[:-20], whole.replace('"passages": 4', '"passages": 5', 1),
        json.dumps({**fields, "more": 1}), json.dumps({**fields, "version": "0"}), json.dumps({**fields, "hash": "0"}),
        whole.replace('"generation": 1', '"generation": 2'), whole.replace('"already": 0', '"already": 1', 1),
        *(json.dumps({key: value for key, value in fields.items() if key != left}) for left in ("version", "hash")),
        json.dumps({**fields, "files": {}}),
    ]  # fmt: skip
    for one in altered:
        assert one != whole
        path.write_text(one)
        with pytest.raises(SetupError, match=r"a manifest of this version in .*manifest\.json"):
            open_index(built)
    for raw in (b"\xff\xfe", b"\0" * 99):
        path.write_bytes(raw)
        with pytest.raises(SetupError, match=r"manifest\.json"):
            open_index(built)
    path.unlink()
    path.mkdir()
    with pytest.raises(SetupError, match=r"manifest\.json"):
        open_index(built)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "a damaged file: no JSON"), ('{"generation": 1}', "the field 'terms' is missing"), ("[]", "no object"),
     ('{"format": "2"}', "something else in the field 'format'")],
)  # fmt: skip
def test_a_damaged_manifest_is_described_in_words(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(SetupError, match=said):
        read_manifest(tmp_path)


def test_an_index_of_another_format_says_what_to_type(built: Path, world: ModuleType) -> None:
    path = built / "manifest.json"
    for found in (1, 3):
        path.write_text(json.dumps({**json.loads(path.read_text()), "format": found}))
        for use in (open_index, lambda out: build_index(world.plan(out.with_name("w")), out)):
            with pytest.raises(SetupError, match=rf"an index of format 2 in '.*'; got format {found}, ") as caught:
                use(built)
            assert "type polyclinic index build with its sources and --out with another folder" in str(caught.value)
            assert "\n" not in str(caught.value)


def test_an_unfinished_build_and_a_file_are_no_index(tmp_path: Path) -> None:
    (tmp_path / "begun" / "building").mkdir(parents=True)
    with pytest.raises(InputError, match=r"an unfinished build; type the same index build command"):
        open_index(tmp_path / "begun")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"a file, .*; name a folder"):
        open_index(tmp_path / "file")


def test_where_no_index_is_the_command_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such folder; type: polyclinic index build SOURCE --out"):
        open_index(tmp_path / "missing")
    with pytest.raises(InputError, match=r"a folder without manifest\.json"):
        open_index(tmp_path)


def test_an_index_of_other_terms_is_refused(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built_with = read_manifest(built).terms
    monkeypatch.setattr("polyclinic.knowledge.text.VERSION", "text-0")
    with pytest.raises(SetupError, match=rf"whose terms are text-0; got {built_with}; build it again"):
        open_index(built)


def test_a_build_that_publishes_while_it_is_opened_is_opened(
    built: Path, world: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_manifest(built)
    grown = built.with_name("grown")
    shutil.copytree(built, grown)
    (built.with_name("w") / "texts" / "z.md").write_text("A coloboma.")
    build_index(world.plan(built.with_name("w")), grown)
    real = module.check_files

    def check(index: Path, manifest: Manifest) -> None:
        if manifest == before:
            shutil.rmtree(built)
            os.rename(grown, built)
        real(index, manifest)

    monkeypatch.setattr(module, "check_files", check)
    with open_index(built) as index:
        assert index.search(Query(text="coloboma"))


def test_another_encoder_is_refused_when_it_is_asked(
    built: Path, world: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataclasses.replace(world.HashedWords(), identity="hashed-2")
    monkeypatch.setattr(module, "load_encoder", lambda _: other)
    with open_index(built) as index, pytest.raises(SetupError, match=r"files differ \(hashed-2\)"):
        index.search(Query(text="drusen"))


def test_a_missing_package_leaves_nothing_open(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    handles = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(MissingExtraError, match=r"polyclinic\[cpu\]"):
        open_index(built)
    assert not handles or len(os.listdir("/proc/self/fd")) == handles


def test_passages_come_back_as_they_were(built: Path, world: ModuleType) -> None:
    with open_index(built) as index:
        stored = index.common.passages
        everything = list(stored)
        assert len(stored) == len(everything) == read_manifest(built).passages
        assert [stored[row] for row in range(len(stored))] == everything
        assert stored[-1] == everything[-1]
        assert list(stored[2:5]) == everything[2:5]
        with pytest.raises(IndexError):
            stored[len(stored)]
        assert all(type(one).model_validate(one.model_dump()) == one for one in everything)
        assert index.pictured
        own = index.search(Query(text="number 2 fundus", patient_id=pseudonym("Jane Doe 2")))
        assert {hit.passage.patient_id for hit in own} == {None, pseudonym("Jane Doe 2")}


def test_an_index_of_texts_alone_is_not_pictured(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    build_index(world.plan(tmp_path / "w", ["texts"]), tmp_path / "index")
    with open_index(tmp_path / "index") as index:
        assert not index.pictured


@pytest.mark.parametrize("parts", [["records"], ["pictures"]])
def test_only_records_or_only_pictures(world: ModuleType, tmp_path: Path, parts: list[str]) -> None:
    world.write_world(tmp_path / "w")
    build_index(world.plan(tmp_path / "w", parts), tmp_path / "index")
    with open_index(tmp_path / "index") as index:
        anyone = index.search(Query(text="drusen number"))
        assert all(hit.passage.patient_id is None for hit in anyone)
        assert bool(anyone) == (parts == ["pictures"])
        own = index.search(Query(text="check-up of the macula", patient_id=pseudonym("0")))
        assert {hit.passage.patient_id for hit in own} == {pseudonym("0") if parts == ["records"] else None}
