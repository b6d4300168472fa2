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
    assert "made: 1 passages" in built.stdout
    assert "notes (text; CC0-1.0): 1 documents, 1 kept" in built.stdout
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
        (("search",), "a query needs a text or an image"),
        (("search", "x", "--until", "soon"), "a usable until"),
        (("search", "x", "--modality", "xrays"), "a usable modality"),
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
