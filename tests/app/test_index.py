"""`polyclinic index` and `polyclinic search` as a person uses them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `polyclinic` in this process, in a folder of its own that holds notes and pictures."""
    from polyclinic.app import cli as module

    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thyroid.md").write_text("# Thyroid nodules\n\nA nodule taller than wide is suspect.\n")
    for label in ("benign", "malignant"):
        (tmp_path / "scans" / label).mkdir(parents=True)
        shutil.copy(ROOT / "examples" / "blank.png", tmp_path / "scans" / label / "1.png")

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["polyclinic", *map(str, words)])
        code = 0
        try:
            module.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, said.out, said.err)

    return run


NOTES = ("index", "build", "notes", "--licence", "CC0-1.0", "--citation", "Our notes, 2026", "--out", "made")


def test_an_index_is_built_shown_added_to_and_searched(cli: Run) -> None:
    built = cli(*NOTES)
    assert built.returncode == 0, built.stderr
    assert "made: 1 passage\n" in built.stdout
    assert "added from notes (text; CC0-1.0): 1 document in 1 passage" in built.stdout
    added = cli("index", "build", "labelled:scans", "--modality", "ultrasound", "--licence", "CC0-1.0", "--out", "made")
    assert added.returncode == 0, added.stderr
    assert "3 passages, 2 of them pictures" in added.stdout
    shown = cli("index", "show", "made")
    assert "All files are as they were written." in shown.stdout
    found = cli("search", "is a nodule taller than wide suspect", "--index", "made")
    assert found.stdout.startswith("1. Thyroid nodules  [")
    assert "A nodule taller than wide is suspect." in found.stdout
    assert "Our notes, 2026" in found.stdout
    assert "CC0-1.0" in found.stdout
    alike = cli("search", "--image", "scans/benign/1.png", "--index", "made", "--json")
    hits = [json.loads(line) for line in alike.stdout.splitlines()]
    assert {hit["passage"]["label"] for hit in hits} == {"benign", "malignant"}
    assert {hit["found"] for hit in hits} == {"image"}


def test_the_shipped_passages_are_searched_by_default_and_filters_hold(cli: Run) -> None:
    hits = [json.loads(line) for line in cli("search", "optic disc", "--json", "--limit", "3").stdout.splitlines()]
    assert len(hits) == 3
    other = cli("search", "optic disc", "--domain", "dentistry", "--json").stdout
    assert all("dentistry" in json.loads(line)["passage"]["domains"] for line in other.splitlines())
    assert cli("search", "how to repair a bicycle").stdout == "No support found.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("search",), "expected a question or --image; got none"),
        (("search", "x", "--until", "2024"), "a day such as 2024-01-31; got '2024'"),
        (("search", "x", "--modality", "xrays"), "a modality; got 'xrays'; type one of "),
        (("search", "x", "--domain", "astrology"), "type one of cardiology, "),
        (("search", "x", "--source", "nothing"), "a source of the index; got 'nothing'"),
        (("search", "x", "--index", "notes/thyroid.md"), "name a folder"),
        (("index", "build", "notes", "--licence", "CC0", "--out", "notes/thyroid.md"), "name a folder"),
        (("index", "build", "notes", "scans", "--licence", "CC0", "--out", "made"), "one source beside --licence"),
        (("search", "x", "--index", "nowhere"), "polyclinic index build SOURCE --out nowhere"),
        (("search", "--image", "scans/benign/1.png"), "an index with pictures"),
        (("index", "build", "nowhere", "--out", "made"), "where nothing is"),
        (("index", "build", "notes", "--out", "made"), "--licence"),
        (("index", "build", "notes", "--licence", "CC0", "--kind", "tree", "--out", "made"), "flat, hnsw or ivfpq"),
        (("index", "build", "notes", "--licence", "CC0", "--text-encoder", "nowhere", "--out", "made"), "nowhere"),
        (("index", "build", "notes", "shipped", "--name", "n", "--licence", "CC0", "--out", "made"), "--name"),
        (("index", "build", "notes", "--licence", "CC0", "--citation", "c", "--out", "notes"), "name another"),
        (("index", "show", "notes"), "a folder without manifest.json"),
    ],
)
def test_bad_input_is_one_plain_line(cli: Run, words: tuple[str, ...], said: str) -> None:
    done = cli(*words)
    assert done.returncode == 2, (done.stdout, done.stderr)
    line = done.stderr.strip()
    assert "\n" not in line
    assert line.startswith("polyclinic: expected ")
    assert said in line


def test_a_second_build_says_what_it_left_as_it_was(cli: Run, tmp_path: Path) -> None:
    assert "added from notes" in cli(*NOTES).stdout
    same = cli(*NOTES[:3], "--licence", "MIT", "--out", "made")
    assert (
        "nothing was added from notes: 1 document is already there; the options typed now do not change it"
        in same.stdout
    )
    assert "MIT" not in same.stdout
    (tmp_path / "notes" / "thyroid.md").write_text("# Thyroid nodules\n\nIt says otherwise.\n")
    edited = cli(*NOTES)
    assert "nothing was added from notes\n" in edited.stdout
    assert "1 document whose text has changed since was left as it was: to take it in, type polyclinic" in edited.stdout
    assert "--out with another folder" in edited.stdout
    (tmp_path / "notes" / "more.md").write_text("---\nlicence: MIT\n---\nA cyst.\n")
    assert "added from notes (text; CC0-1.0): 1 passage, of 2 documents read" in cli(*NOTES).stdout
    assert "licences: CC0-1.0 (1); MIT (1)" in cli("index", "show", "made").stdout


def test_show_tells_of_an_unfinished_build(cli: Run, tmp_path: Path) -> None:
    assert cli(*NOTES).returncode == 0
    assert "unfinished" not in cli("index", "show", "made").stdout
    (tmp_path / "made" / "building").mkdir()
    assert "an unfinished build, not counted here" in cli("index", "show", "made").stdout
    (tmp_path / "begun" / "building").mkdir(parents=True)
    assert "an unfinished build; type the same index build command" in cli("search", "x", "--index", "begun").stderr


def test_what_a_build_does_is_told_in_lines_where_there_is_no_terminal(cli: Run) -> None:
    lines = cli(*NOTES).stderr.splitlines()
    assert lines[0] == "reading notes: 1"
    assert "writing passages" in lines
    assert len({line.partition(":")[0] for line in lines}) == len(lines)


def test_shipped_passages_may_be_named_among_the_indexes(cli: Run) -> None:
    assert cli(*NOTES).returncode == 0
    both = cli("search", "thyroid nodule", "--index", "made", "--index", "shipped", "--json").stdout.splitlines()
    assert len({json.loads(line)["passage"]["source"] for line in both}) == 2
    assert cli("search", "optic disc", "--index", "shipped").stdout == cli("search", "optic disc").stdout
    refused = cli("search", "thyroid", "--index", "made", "--source", "nots")
    assert "a source of the index; got 'nots'; type one of notes" in refused.stderr


def test_records_are_found_with_their_patient_alone_and_the_command_says_so(cli: Run, tmp_path: Path) -> None:
    visit = {
        "resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"},
        "type": [{"text": "Check-up of drusen"}], "subject": {"reference": "Patient/7"},
        "period": {"start": "2020-01-02T09:00:00Z"},
    }  # fmt: skip
    who = {"resourceType": "Patient", "id": "7", "identifier": [{"value": "MRN-4711"}]}
    entries = [{"resource": one} for one in (who, visit)]
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "7.json").write_text(
        json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries})
    )
    built = cli("index", "build", "records", "--out", "own")
    assert "own: 0 passages, 1 record of 1 patient" in built.stdout
    assert "vectors" not in built.stdout
    unfound = cli("search", "drusen check-up", "--index", "own")
    assert unfound.stdout == "No support found.\n1 record of 1 patient is only searched with --patient.\n"
    assert "patients are also found by 1 other identifier" in built.stdout
    for known in ("7", "MRN-4711"):
        hits = cli("search", "drusen check-up", "--index", "own", "--patient", known, "--json").stdout.splitlines()
        assert ["drusen" in json.loads(hit)["passage"]["text"] for hit in hits] == [True]
    both = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries})
    (tmp_path / "records" / "8.json").write_text(both.replace('"7"', '"8"').replace("Patient/7", "Patient/8"))
    added = cli("index", "build", "records", "--out", "own")
    assert "1 record, of 2 documents read" in added.stdout
    refused = cli("search", "drusen check-up", "--index", "own", "--patient", "MRN-4711")
    assert refused.returncode == 2
    assert refused.stderr.startswith("polyclinic: expected an identifier of one patient; got one that 2 patients")
    twice = cli("index", "build", "records", "--shared", "--out", "own")
    assert twice.returncode == 2
    assert "got --shared; leave it out, or type --out with another folder" in twice.stderr
    assert "open to every case" in cli("index", "build", "records", "--shared", "--out", "open").stdout
    shown = cli("index", "show", "own").stdout
    assert "2 documents in 2 records" in shown


def test_a_damaged_index_is_named_and_an_encoder_cannot_be_mixed_in(cli: Run, tmp_path: Path) -> None:
    assert cli(*NOTES, "--image-encoder", "none").returncode == 0
    file = next((tmp_path / "made").glob("0*/gains.npy"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done = cli("search", "nodule", "--index", "made")
    assert done.returncode == 2
    assert "gains.npy" in done.stderr
    file.write_bytes(whole)
    assert cli("search", "nodule", "--index", "made").returncode == 0
