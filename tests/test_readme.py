"""What the README says is run: its snippets, its commands, its tree."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polyclinic.agents.engines.vllm import VllmEngine
from polyclinic.core.settings import load_settings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

RECORD = {
    "resourceType": "Bundle", "type": "collection",
    "entry": [
        {"resource": {"resourceType": "Patient", "id": "invented-1", "gender": "female", "birthDate": "1960-04-01"}},
        *(
            {"resource": {
                "resourceType": "Observation", "status": "final", "subject": {"reference": "Patient/invented-1"},
                "code": {"text": "Systolic Blood Pressure"}, "effectiveDateTime": f"{year}-05-02",
                "valueQuantity": {"value": value, "unit": "mmHg"},
            }}
            for year, value in ((2023, 128), (2024, 151))
        ),
    ],
}  # fmt: skip

PUBMEDQA = {
    str(number): {"QUESTION": "Is it?", "CONTEXTS": ["It is."], "final_decision": answer}
    for number, answer in enumerate(("yes", "no", "yes"), 1)
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a user's own, with the examples, a picture, a case that was asked and a conversation."""
    from pydicom.data import get_testdata_file

    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copy(str(get_testdata_file("CT_small.dcm", download=False)), folder / "scan.dcm")
    (folder / "papers").mkdir()
    (folder / "papers" / "thyroid.md").write_text(
        "# Thyroid nodules\n\nA nodule that is taller than wide is suspect.\n"
    )
    for label in ("benign", "malignant"):
        (folder / "scans" / label).mkdir(parents=True)
        shutil.copy(ROOT / "examples" / "blank.png", folder / "scans" / label / "1.png")
    (folder / "record.json").write_text(json.dumps(RECORD))
    (folder / "data" / "pubmedqa").mkdir(parents=True)
    (folder / "data" / "pubmedqa" / "pqal_dev.json").write_text(json.dumps(PUBMEDQA))
    polyclinic(folder, "ask examples/retina.yaml")
    for snippet in blocks("python"):
        done = subprocess.run([sys.executable, "-c", snippet], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def served(double: Any) -> Iterator[str]:
    """What stands for the server at http://localhost:8000/v1."""
    with double.serving(double.DoubleConfig(latency_s=0.0, models=("medical-vlm",))) as server:
        yield server.url


def polyclinic(folder: Path, words: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("polyclinic")
    return subprocess.run([program, *shlex.split(words)], cwd=folder, capture_output=True, text=True, check=False)


def commands() -> list[str]:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return [line.removeprefix("$ polyclinic ") for line in lines if line.startswith("$ polyclinic ")]


def test_there_is_something_to_run() -> None:
    assert len(blocks("python")) >= 2
    assert len(commands()) >= 8


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_works(folder: Path, served: str, command: str) -> None:
    words = command.replace("http://localhost:8000/v1", served)
    for shown in re.findall(r"runs/\S*…\S*", command):
        pattern = shown.removeprefix("runs/").replace("…", "*")
        found = sorted((folder / "runs").glob(pattern))
        assert found, f"no run matches {shown}"
        words = words.replace(shown, str(found[0]))
    done = polyclinic(folder, words.split("  #")[0].split(" # ")[0])
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_settings_it_shows_are_settings(tmp_path: Path) -> None:
    (shown,) = blocks("toml")
    (tmp_path / "polyclinic.toml").write_text(shown)
    settings = load_settings(environment={}, folder=tmp_path)
    assert settings.agents["radiology"].model == "radiology-lora"
    assert VllmEngine(settings.engine, settings.model, agents=settings.agents).identity.startswith("vllm/medical-vlm")


def test_the_make_targets_it_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([\w-]+)", README):
        if target not in ("a", "sure"):
            assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_folder_is_in_the_tree() -> None:
    tracked = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))}
    tracked -= {"runs", "build", "dist", "polyclinic.egg-info", "htmlcov"}
    shown = set(re.findall(r"^(\w+)/ ", README, re.M))
    assert tracked == shown


@pytest.mark.parametrize(
    "page", ["README.md", "docs/architecture.md", *(p.name for p in (ROOT / "docs" / "decisions").glob("*.md"))]
)
def test_links_and_named_files_exist(page: str) -> None:
    path = ROOT / page if "/" in page or page == "README.md" else ROOT / "docs" / "decisions" / page
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / link).exists(), link
    for named in re.findall(r"`((?:core|agents|tools|knowledge|evals|app|tests|bench|docs)/[\w/]+\.\w+)`", text):
        assert (ROOT / named).exists(), named
