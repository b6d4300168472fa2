"""What the repository promises besides code: one way to build it, a lock without hosts, a changelog."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EVERYTHING = {"setup", "lint", "types", "docs", "demo", "test"}
VERBS = EVERYTHING | {"all", "bench", "clean", "lock", "test-vllm"}

# Put together here, so that this file does not name what it forbids.
REGISTRY_HOSTS = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in [
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("npmjs", "org"),
            ("npmjs", "com"),
            ("yarnpkg", "com"),
            ("deb", "debian", "org"),
            ("anaconda", "org"),
        ]
    )
)
ONE_MACHINES_PATHS = re.compile(r"(?<![\w.~])/(?:home|root|work|Users)/(?=[\w.])")


@pytest.fixture(scope="module")
def makefile(root: Path) -> str:
    return (root / "Makefile").read_text()


@pytest.fixture(scope="module")
def ci(root: Path) -> str:
    return (root / ".ci" / "run").read_text()


def test_a_bare_make_does_everything(makefile: str) -> None:
    assert re.search(r"^\.DEFAULT_GOAL := all$", makefile, re.M)
    assert set(_prerequisites(makefile, "all")) == EVERYTHING
    assert set(_prerequisites(makefile, ".PHONY")) >= VERBS


def test_ci_does_what_make_does(root: Path, ci: str) -> None:
    commands = [line.strip() for line in ci.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert commands.index("make </dev/null") < commands.index("make test-vllm </dev/null")
    assert not re.search(r"\b(pytest|ruff|mypy|lint-imports|pip)\b", "\n".join(commands)), (
        "that belongs into the Makefile"
    )
    assert commands[0] == "set -euo pipefail"
    assert os.access(root / ".ci" / "run", os.X_OK)
    subprocess.run(["bash", "-n", root / ".ci" / "run"], check=True)


def test_the_lock_pins_every_direct_dependency(root: Path, makefile: str, settings: dict[str, Any]) -> None:
    lock = (root / "requirements.lock").read_text()
    pins: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.M):
        pins.setdefault(canonicalize_name(name), []).append(version)

    extras = re.findall(r"--extra (\w+)", makefile)
    assert {"cpu", "imaging", "dev"} <= set(extras)
    direct = [*settings["project"]["dependencies"], *settings["build-system"]["requires"]]
    direct += [line for extra in extras for line in settings["project"]["optional-dependencies"][extra]]
    stale = [
        line
        for line in direct
        if not (versions := pins.get(canonicalize_name(Requirement(line).name)))
        or not all(Requirement(line).specifier.contains(version, prereleases=True) for version in versions)
    ]
    assert not stale, "type: make lock"


def test_the_lock_holds_a_hash_for_every_pin_and_no_address(root: Path) -> None:
    lock = (root / "requirements.lock").read_text()
    entries = re.split(r"^(?=[\w.-]+==)", lock, flags=re.M)[1:]
    assert entries
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in lock


def test_no_file_names_a_registry_or_one_machines_paths(root: Path, files: list[str]) -> None:
    found = []
    for path in files:
        try:
            text = (root / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or a model
        for pattern in (REGISTRY_HOSTS, ONE_MACHINES_PATHS):
            found += [f"{path}:{text.count(chr(10), 0, hit.start()) + 1}: {hit[0]}" for hit in pattern.finditer(text)]
    assert found == []


def test_the_changelog_has_this_version(root: Path, settings: dict[str, Any]) -> None:
    entries = re.split(r"^## ", (root / "CHANGELOG.md").read_text(), flags=re.M)[1:]
    heading = f"[{settings['project']['version']}]"
    entry = next((entry for entry in entries if entry.startswith(heading)), "")
    assert entry, f"CHANGELOG.md has no entry {heading}"
    assert re.search(r"^- \w.*\.$", entry, re.M), "say outcomes, one sentence each"


def _prerequisites(makefile: str, target: str) -> list[str]:
    (line,) = re.findall(rf"^{re.escape(target)}:([^=\n]*)$", makefile, re.M)[:1]
    return line.partition("##")[0].split()
