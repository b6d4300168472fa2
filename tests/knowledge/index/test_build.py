"""Building: killed at any moment it ends with the same bytes; refused, or out of disk, the index stays whole."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from polyclinic.core.canonical import digest
from polyclinic.core.case import pseudonym
from polyclinic.core.errors import InputError, RunLockedError, SetupError, StorageError
from polyclinic.core.locked import open_locked
from polyclinic.knowledge.index.build import Plan, add_to_index, build_index
from polyclinic.knowledge.index.folder import open_index
from polyclinic.knowledge.index.manifest import read_manifest
from polyclinic.knowledge.sources import place
from polyclinic.knowledge.sources.open import open_source
from polyclinic.knowledge.store import Query

WORLD = Path(__file__).with_name("world.py")
ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # a process that forks must have no threads


def survivors(where: Path, out: Path, parts: list[str], kills: list[list[Any]]) -> list[dict[str, Any]]:
    """What is left of builds that were killed, and of the same commands typed again."""
    command = [sys.executable, str(WORLD), str(where), str(out), json.dumps({"parts": parts, "kills": kills})]
    done = subprocess.run(command, env={**os.environ, **ALONE}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


KILLS: list[list[Any]] = [
    *(["watch", number] for number in range(0, 56, 7)),
    *(["before", number] for number in (*range(0, 60, 20), *range(60, 126, 5))),
    *(["seconds", 0.01 * 1.7**number] for number in range(6)),
]


@pytest.mark.parametrize("base", [False, True], ids=["build", "increment"])
def test_a_killed_build_ends_with_the_same_bytes(world: ModuleType, tmp_path: Path, base: bool) -> None:
    world.write_world(tmp_path / "w")
    out, whole = tmp_path / "index", tmp_path / "whole"
    parts = ["texts", "pictures", "records"]
    before = None
    if base:
        build_index(world.plan(tmp_path / "w", ["texts"]), out)
        shutil.copytree(out, whole)
        with open_index(out) as index:
            before = index.version
        (tmp_path / "w" / "texts" / "t003.md").write_text("# Text 3\n\nIt says otherwise.", encoding="utf-8")
        (tmp_path / "w" / "texts" / "z.md").write_text("# Z\n\nA coloboma.", encoding="utf-8")
    built = add_to_index(world.plan(tmp_path / "w", parts), whole)
    assert [(stock.already, stock.changed) for stock in built.added] == [(23 * base, base), (0, 0), (0, 0)]
    assert built.added[2].aliases == 6
    with open_index(whole) as index:
        expected, after = world.hashes(whole), index.version
    found = survivors(tmp_path / "w", out, parts, KILLS)
    assert len(found) == len(KILLS)
    for one in found:
        assert one["again"] == 0, one
        assert one["hashes"] == expected, one["kill"]
        assert one["opens"] in ((before, after) if base else (None,)), one["kill"]
    killed = [one for one in found if one["status"] in (9, -9)]
    assert len(killed) >= 20
    if base:
        assert {one["opens"] for one in killed} == {before, after}


def test_nothing_to_add_changes_nothing_and_tidies_up(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    out = tmp_path / "index"
    build_index(world.plan(tmp_path / "w"), out)
    before = world.hashes(out)
    (out / "0000").mkdir()
    (out / "0000" / "rows.npy").write_bytes(b"left by a build that was killed")
    assert build_index(world.plan(tmp_path / "w"), out) == read_manifest(out)
    assert world.hashes(out) == before
    (out / "2024").mkdir()
    (out / "2024" / "notes.txt").write_text("the user's own")
    build_index(world.plan(tmp_path / "w"), out)
    assert (out / "2024" / "notes.txt").read_text() == "the user's own"


def test_an_increment_finds_what_a_full_build_finds(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w", texts=300)
    full, grown = tmp_path / "full", tmp_path / "grown"
    build_index(world.plan(tmp_path / "w"), full)
    build_index(world.plan(tmp_path / "w", ["texts"]), grown)
    for part in ("pictures", "records"):  # the encoders are those of the index
        build_index(world.plan(tmp_path / "w", [part], text_encoder=None, image_encoder=None), grown)
    one, other = read_manifest(full), read_manifest(grown)
    assert (other.generation, one.generation) == (3, 1)
    assert one.files == other.files
    assert one.version == other.version
    assert one.text is not None
    assert one.text.floor > 0
    with open_index(full) as a, open_index(grown) as b:
        for words in ("drusen of the macula", "optic nerve", "glaucomma", "number 7"):
            for patient in (None, pseudonym("Jane Doe 2")):
                query = Query(text=words, patient_id=patient, limit=20)
                assert a.search(query) == b.search(query)
                assert a.rank(query) == b.rank(query)


def test_what_is_there_already_and_what_changed_is_counted(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    out = tmp_path / "index"
    build_index(world.plan(tmp_path / "w", ["texts"], text_encoder=None), out)
    (tmp_path / "w" / "texts" / "t000.md").write_text("# Text 0\n\nIt says otherwise.", encoding="utf-8")
    (tmp_path / "w" / "texts" / "z.md").write_text("# Z\n\nA coloboma.", encoding="utf-8")
    manifest = build_index(world.plan(tmp_path / "w", ["texts"], text_encoder=None), out)
    (stock,) = manifest.sources
    assert (stock.read, stock.already, stock.changed) == (25, 23, 1)
    assert (stock.documents, stock.passages) == (25, manifest.passages)
    with open_index(out) as index:
        assert index.search(Query(text="otherwise")) == ()
        assert [hit.passage.id for hit in index.search(Query(text="coloboma"))] == ["texts/z.md"]


def test_a_build_begun_with_other_sources_is_refused_until_it_is_dropped(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    out = tmp_path / "index"

    def stop(what: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(world.plan(tmp_path / "w"), out, watch=stop)
    with pytest.raises(InputError, match=r"--restart"):
        build_index(world.plan(tmp_path / "w", ["texts"]), out)
    (tmp_path / "w" / "texts" / "z.md").write_text("another", encoding="utf-8")
    with pytest.raises(InputError, match=r"whose files have changed"):
        build_index(world.plan(tmp_path / "w"), out)
    assert build_index(world.plan(tmp_path / "w", ["texts"]), out, restart=True).pictures == 0
    assert sorted(path.name for path in out.iterdir()) == ["0001", "lock", "manifest.json"]


def test_a_source_that_is_mended_before_anything_was_read_begins_anew(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    texts, out = tmp_path / "w" / "texts", tmp_path / "index"
    (texts / "a.md").write_text("---\ndate: yesterday\n---\nA coloboma.", encoding="utf-8")
    with pytest.raises(InputError, match=r"a date such as 2024-03-31.*then build again$"):
        build_index(world.plan(tmp_path / "w", ["texts"]), out)
    (texts / "a.md").write_text("A coloboma.", encoding="utf-8")
    assert build_index(world.plan(tmp_path / "w", ["texts"]), out).sources[0].documents == 25


def test_a_source_that_cannot_be_read_to_its_end_says_how_to_restart(
    world: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyclinic.knowledge.index.build.BATCH", 4)
    world.write_world(tmp_path / "w")
    (tmp_path / "w" / "texts" / "z.md").write_text("---\ndate: yesterday\n---\nA coloboma.", encoding="utf-8")
    with pytest.raises(InputError, match=r"then build again; it then takes --restart"):
        build_index(world.plan(tmp_path / "w", ["texts"]), tmp_path / "index")


def test_a_name_stands_for_one_place(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    world.write_world(tmp_path / "v", texts=3)
    out = tmp_path / "index"
    manifest = build_index(world.plan(tmp_path / "w", ["texts"]), out)
    assert "texts" in manifest.sources[0].name
    assert str(tmp_path) not in manifest.written()
    with pytest.raises(InputError, match=r"from another place; type --name"):
        build_index(world.plan(tmp_path / "v", ["texts"]), out)
    assert read_manifest(out) == manifest
    moved = tmp_path / "elsewhere"
    assert build_index(world.plan(tmp_path / "v", ["texts"]), moved).sources[0].place != manifest.sources[0].place
    sources = [stock.model_copy(update={"place": "0"}) for stock in manifest.sources]
    assert manifest.model_copy(update={"sources": tuple(sources)}).version == manifest.version


def test_what_a_build_adds_is_told_beside_what_there_is(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    out = tmp_path / "index"
    first = add_to_index(world.plan(tmp_path / "w", ["texts"]), out)
    (stock,) = first.added
    assert stock.passages == first.manifest.passages
    again = add_to_index(world.plan(tmp_path / "w", ["texts"]), out)
    (stock,) = again.added
    assert again.manifest == first.manifest
    assert (stock.documents, stock.passages, stock.already) == (0, 0, 24)


def test_two_builders_do_not_meet(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    out = tmp_path / "index"
    out.mkdir()
    lock = open_locked(out / "lock", os.O_CREAT, busy="a test", fix="wait")
    try:
        with pytest.raises(RunLockedError, match=r"another build at work"):
            build_index(world.plan(tmp_path / "w"), out)
    finally:
        os.close(lock)
    build_index(world.plan(tmp_path / "w"), out)


def test_a_folder_of_something_else_is_left_alone(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    for name in ("notes.txt", "2023"):
        out = tmp_path / f"with {name}"
        out.mkdir()
        (out / name).mkdir()
        with pytest.raises(InputError, match=r"an empty folder or an index"):
            build_index(world.plan(tmp_path / "w"), out)
        assert [path.name for path in out.iterdir()] == [name]


def test_a_folder_that_cannot_be_written_is_a_clear_error(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    with pytest.raises(StorageError, match=r"to write the index in"):
        build_index(world.plan(tmp_path / "w"), Path("/proc/index"))
    (tmp_path / "a-file").write_text("")
    with pytest.raises(InputError, match=r"a file, .*a-file'; name a folder"):
        build_index(world.plan(tmp_path / "w"), tmp_path / "a-file")


@pytest.mark.parametrize("most", [1_000, 9_000, 14_000, 30_000, 45_000, 60_000])
def test_a_full_disk_leaves_the_old_index_whole(world: ModuleType, tmp_path: Path, most: int) -> None:
    world.write_world(tmp_path / "w", pictures=200)
    out, whole = tmp_path / "index", tmp_path / "whole"
    build_index(world.plan(tmp_path / "w", ["texts"]), out)
    before, version = read_manifest(out), open_index(out).version
    shutil.copytree(out, whole)
    build_index(world.plan(tmp_path / "w", ["pictures"]), whole)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        with pytest.raises(StorageError):
            build_index(world.plan(tmp_path / "w", ["pictures"]), out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_manifest(out) == before
    with open_index(out) as index:
        assert index.version == version
    build_index(world.plan(tmp_path / "w", ["pictures"]), out)
    assert world.hashes(out) == world.hashes(whole)


def test_encoders_that_do_not_fit_are_refused(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    where, plain, out = tmp_path / "w", tmp_path / "plain", tmp_path / "index"
    build_index(world.plan(where, ["texts", "pictures"], text_encoder=None, image_encoder=None), plain)
    for name in ("text_encoder", "image_encoder"):
        fields = {"text_encoder": None, "image_encoder": None, name: world.HashedWords()}
        with pytest.raises(InputError, match=rf"no {name.replace('_', ' ')}"):
            build_index(world.plan(where, ["records"], **fields), plain)
    build_index(world.plan(where, ["texts", "pictures"]), out)
    for name in ("text_encoder", "image_encoder"):
        with pytest.raises(InputError, match=r"the encoder of this index, hashed"):
            build_index(world.plan(where, ["records"], **{name: world.HashedWords(identity="hashed-2")}), out)
    assert build_index(world.plan(where, ["records"], text_encoder=None), out).records > 0


def test_an_image_encoder_may_come_with_the_first_pictures(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    out = tmp_path / "index"
    build_index(world.plan(tmp_path / "w", ["texts"], text_encoder=None, image_encoder=None), out)
    assert build_index(world.plan(tmp_path / "w", ["pictures"], text_encoder=None), out).pictures > 0


def test_pictures_need_somebody_who_reads_them(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    with pytest.raises(SetupError, match=r"a reader of pictures.*; pass read_picture="):
        world.plan(tmp_path / "w", ["pictures"], read_picture=None)
    out, alone = tmp_path / "index", {"text_encoder": None, "image_encoder": None, "read_picture": None}
    build_index(world.plan(tmp_path / "w", ["pictures"]), out)
    before = world.hashes(out)
    with pytest.raises(SetupError, match=r"a reader of pictures"):  # the index has an image encoder
        build_index(world.plan(tmp_path / "w", ["texts"], **alone), out)
    assert world.hashes(out) == before


def test_a_picture_that_cannot_be_read_is_skipped_without_its_name(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")

    def read(path: Path) -> Any:
        if path.name == "p003.npy":
            raise InputError(expected="a picture of at most 9 pixels", got="p003.npy", fix="-")
        return world.read_picture(path)

    manifest = build_index(world.plan(tmp_path / "w", ["pictures"], read_picture=read), tmp_path / "index")
    (stock,) = manifest.sources
    assert stock.skipped == {"a picture that cannot be read: expected a picture of at most 9 pixels": 1}
    assert "p003" not in manifest.model_dump_json()
    assert stock.passages + stock.records == 19


def test_records_without_a_patient_are_nobodys_unless_shared(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w", patients=2)
    own = build_index(world.plan(tmp_path / "w", ["records"]), tmp_path / "own")
    assert (own.passages, own.records, own.patients) == (0, 6, 2)
    assert own.domains == ()
    shared = build_index(world.plan(tmp_path / "w", ["records"], shared=True), tmp_path / "shared")
    assert (shared.passages, shared.records, shared.patients) == (6, 0, 0)
    with open_index(tmp_path / "own") as index:
        assert index.search(Query(text="check-up of the macula")) == ()
    with open_index(tmp_path / "shared") as index:
        assert index.search(Query(text="check-up of the macula")) != ()


def test_half_a_character_is_skipped_and_counted(world: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    lines = [{"id": "1", "title": "a", "content": "drusen \ud800"}, {"id": "2", "title": "b", "content": "macula"}]
    (tmp_path / "w" / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = open_source(f"medrag:{tmp_path / 'w'}", licence="CC0-1.0", name="texts")
    try:
        manifest = build_index(Plan(sources=[source]), tmp_path / "index")
    except InputError:
        return  # refused by the reader
    assert manifest.passages == 1
    assert manifest.sources[0].skipped == {"a text with half a character in it": 1}


def test_vectors_cross_from_flat_to_hnsw(world: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write_world(tmp_path / "w", texts=40)
    out, flat = tmp_path / "index", tmp_path / "flat"
    build_index(world.plan(tmp_path / "w", ["texts"]), out)
    build_index(world.plan(tmp_path / "w", ["texts", "pictures"]), flat)
    assert read_manifest(out).text.kind == "flat"
    monkeypatch.setattr("polyclinic.knowledge.index.vectors.FLAT_BELOW", 60)
    manifest = build_index(world.plan(tmp_path / "w", ["pictures"]), out)
    assert manifest.text is not None
    assert manifest.image is not None
    assert (manifest.text.kind, manifest.image.kind) == ("hnsw", "flat")
    with open_index(out) as grown, open_index(flat) as whole:
        stored = grown.common.meaning.stored
        np.testing.assert_array_equal(stored, whole.common.meaning.stored)
        for words in world.WORDS:
            query = Query(text=f"{words} of a kind")
            assert [hit.passage.id for hit in grown.search(query)] == [hit.passage.id for hit in whole.search(query)]
    kept = build_index(world.plan(tmp_path / "w", ["records"]), out)
    assert kept.text is not None
    assert kept.text.kind == "hnsw"


def test_codes_are_not_turned_back_into_vectors(
    world: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write_world(tmp_path / "w", texts=400)
    out = tmp_path / "index"
    assert build_index(world.plan(tmp_path / "w", ["records"], kind="ivfpq"), tmp_path / "few").text.kind == "flat"
    monkeypatch.setattr("polyclinic.knowledge.index.vectors.TRAINED_FROM", 300)
    assert build_index(world.plan(tmp_path / "w", ["texts"], kind="ivfpq"), out).text.kind == "ivfpq"
    with pytest.raises(InputError, match=r"keeps no vectors"):
        build_index(world.plan(tmp_path / "w", ["pictures"], kind="hnsw"), out)
    manifest = build_index(world.plan(tmp_path / "w", ["pictures"]), out)
    assert (manifest.text.kind, manifest.image.kind) == ("ivfpq", "flat")
    with open_index(out) as index:
        assert index.search(Query(text="drusen macula"))


def test_sources_without_a_name_each_are_refused(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    with pytest.raises(InputError, match=r"no source"):
        build_index(Plan(sources=[]), tmp_path / "index")
    with pytest.raises(InputError, match=r"two called 'texts'"):
        build_index(world.plan(tmp_path / "w", ["texts", "texts"]), tmp_path / "index")


def test_the_version_is_of_what_is_searched_and_the_hash_of_all(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    manifest = build_index(world.plan(tmp_path / "w"), tmp_path / "index")
    stated = json.loads((tmp_path / "index" / "manifest.json").read_text())
    assert stated["version"] == manifest.version
    assert stated["hash"] == digest(manifest.model_dump(mode="json"))
    assert manifest.text is not None
    files = {**manifest.files, "rows.npy": manifest.files["rows.npy"].model_copy(update={"sha256": "0" * 64})}
    same = [
        {"generation": 7}, {"sources": ()}, {"text": manifest.text.model_copy(update={"spec": str(tmp_path)})},
    ]  # fmt: skip
    other = [
        {"files": files}, {"terms": "text-0"}, {"cut": "cut-0"}, {"text": None},
        {"text": manifest.text.model_copy(update={"floor": 0.5})},
        {"text": manifest.text.model_copy(update={"identity": "hashed-2"})},
    ]  # fmt: skip
    assert all(manifest.model_copy(update=fields).version == manifest.version for fields in same)
    assert len({manifest.model_copy(update=fields).version for fields in other} - {manifest.version}) == len(other)


def test_the_version_does_not_tell_how_the_index_was_built(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    whole = build_index(world.plan(tmp_path / "w", ["texts", "pictures"]), tmp_path / "whole")
    build_index(world.plan(tmp_path / "w", ["texts"]), tmp_path / "grown")
    (tmp_path / "w" / "texts" / "t000.md").write_text("# Text 0\n\nIt says otherwise.", encoding="utf-8")
    (tmp_path / "w" / "texts" / "t001.md").unlink()
    grown = build_index(world.plan(tmp_path / "w", ["texts", "pictures"]), tmp_path / "grown")
    assert (grown.sources[1].already, grown.sources[1].changed, grown.sources[1].documents) == (22, 1, 24)
    assert grown.version == whole.version
    with open_index(tmp_path / "whole") as one, open_index(tmp_path / "grown") as other:
        assert one.version == other.version


def long_text(*words: str) -> str:
    return "# Text 0\n\n" + "".join(f"The {word} is seen here once more, as it was before. " * 40 for word in words)


@pytest.mark.parametrize("after", [("drusen", "coloboma"), ("coloboma",), ("coloboma", "drusen")])
def test_a_text_that_changed_stays_as_a_whole_what_it_was(
    world: ModuleType, tmp_path: Path, after: tuple[str, ...]
) -> None:
    world.write_world(tmp_path / "w")
    out, file = tmp_path / "index", tmp_path / "w" / "texts" / "t000.md"
    file.write_text(long_text("drusen", "macula"), encoding="utf-8")
    build_index(world.plan(tmp_path / "w", ["texts"]), out)
    before = world.hashes(out)
    file.write_text(long_text(*after, *after), encoding="utf-8")
    built = add_to_index(world.plan(tmp_path / "w", ["texts"]), out)
    (stock,) = built.added
    assert (stock.read, stock.documents, stock.already, stock.changed) == (24, 0, 23, 1)
    assert world.hashes(out) == before
    with open_index(out) as index:
        pieces = [one.text for one in index.common.passages if one.document == "t000.md"]
        assert len(pieces) > 1
        assert not [text for text in pieces if "coloboma" in text]


def test_a_picture_that_changed_and_one_that_was_given_a_patient_are_left_as_they_were(
    world: ModuleType, tmp_path: Path
) -> None:
    world.write_world(tmp_path / "w")
    out, folder = tmp_path / "index", tmp_path / "w" / "pictures"
    build_index(world.plan(tmp_path / "w", ["pictures"]), out)
    before = world.hashes(out)
    np.save(folder / "p000.npy", world.picture(5, variant=99))
    lines = [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]
    lines[1] |= {"id": "p001.npy", "patient_id": "Jane Doe 9"}
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (stock,) = add_to_index(world.plan(tmp_path / "w", ["pictures"]), out).added
    assert (stock.changed, stock.documents) == (2, 0)
    assert world.hashes(out) == before


def test_options_of_the_whole_source_change_no_document(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    out, where = tmp_path / "index", f"text:{tmp_path / 'w' / 'texts'}"
    build_index(Plan(sources=[open_source(where, licence="CC0-1.0")]), out)
    other = open_source(where, licence="MIT", citation="Another", modality="fundus")
    (stock,) = add_to_index(Plan(sources=[other]), out).added
    assert (stock.already, stock.changed) == (24, 0)


def test_a_document_twice_in_a_batch_and_one_named_like_a_piece_are_no_halves(
    world: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "w").mkdir()
    long, other = long_text("drusen", "macula"), long_text("coloboma")
    texts = [("a", long), ("a", long), ("a", other), ("b#1", "cornea."), ("b", other), ("c", "iris."), ("c", "lens.")]
    lines = [{"id": key, "title": "t", "content": text} for key, text in texts]
    (tmp_path / "w" / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    manifest = build_index(Plan(sources=[open_source(f"medrag:{tmp_path / 'w'}", licence="CC0-1.0")]), tmp_path / "i")
    (stock,) = manifest.sources
    assert (stock.read, stock.documents, stock.already, stock.changed) == (7, 3, 1, 3)
    with open_index(tmp_path / "i") as index:
        assert {one.document for one in index.common.passages} == {"a", "b#1", "c"}
        assert not [one for one in index.common.passages if "coloboma" in one.text or "lens" in one.text]


def test_records_are_kept_to_their_patients_or_open_to_all_never_both(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w", patients=2)
    where, own, opened = tmp_path / "w", tmp_path / "own", tmp_path / "shared"
    build_index(world.plan(where, ["texts", "pictures", "records"]), own)
    before = world.hashes(own)
    for part in ("records", "pictures"):
        with pytest.raises(InputError, match=r"for their patients alone, .*got --shared; leave it out, or type --out"):
            build_index(world.plan(where, [part], shared=True), own)
    renamed = [open_source(f"fhir:{where / 'records'}", name="another")]
    with pytest.raises(InputError, match=r"for their patients alone"):
        build_index(Plan(sources=renamed, read_picture=world.read_picture, shared=True), own)
    assert world.hashes(own) == before
    assert build_index(world.plan(where, ["texts"], shared=True), own) == read_manifest(own)
    build_index(world.plan(where, ["pictures", "records"], shared=True), opened)
    for part in ("records", "pictures"):
        with pytest.raises(InputError, match=r"open to all, as this index keeps them; got no --shared; type --shared"):
            build_index(world.plan(where, [part]), opened)
    assert build_index(world.plan(where, ["records"], shared=True), opened) == read_manifest(opened)


def test_an_index_of_other_cuts_is_not_added_to(
    world: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write_world(tmp_path / "w")
    build_index(world.plan(tmp_path / "w", ["texts"]), tmp_path / "index")
    plan = world.plan(tmp_path / "w", ["texts"])
    before = plan.written(None)
    monkeypatch.setattr("polyclinic.knowledge.index.cut.VERSION", "cut-0")
    with pytest.raises(InputError, match=r"whose passages are cut-0; got cut-\d; build it again"):
        build_index(plan, tmp_path / "index")
    assert plan.written(None) != before
    open_index(tmp_path / "index").close()


def test_a_pictures_name_does_not_hang_on_what_lies_beside_it(world: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    names = {}
    for where in ("a/drusen", "b/macula"):  # at first there is but one folder of classes
        (folder / where).mkdir(parents=True)
        np.save(folder / where / "1.npy", world.picture(1))
        (folder / where / "1.npy").rename(folder / where / "1.png")
        source = open_source(f"labelled:{folder}", licence="CC0-1.0", name="scans")
        build_index(Plan(sources=[source]), tmp_path / where[0])
        with open_index(tmp_path / where[0]) as index:
            names[where] = {one.document: one.picture for one in index.common.passages}
    assert names["a/drusen"] == {"a/drusen/1.png": "a/drusen/1.png"}
    assert names["b/macula"].items() >= names["a/drusen"].items()


def test_a_folder_is_walked_once(world: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write_world(tmp_path / "w")
    real, walked = place.walk, []

    def walk(path: Path, *rest: Any) -> Any:
        walked.append(path)
        return real(path, *rest)

    monkeypatch.setattr(place, "walk", walk)
    build_index(world.plan(tmp_path / "w"), tmp_path / "index")
    assert walked == [tmp_path / "w" / part for part in ("texts", "pictures", "records")]


def test_files_that_go_away_before_the_build_are_told_without_their_names(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    plan = world.plan(tmp_path / "w", ["records"])
    (tmp_path / "w" / "records" / "0.json").unlink()
    with pytest.raises(InputError, match=r"as they were listed; got No such file.*; build again$") as caught:
        build_index(plan, tmp_path / "index")
    assert "0.json" not in str(caught.value)
