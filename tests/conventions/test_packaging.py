"""The folders on disk, the package list and the built wheel name the same files. See docs/decisions/0001."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def wheel(root: Path, package_files: list[str], tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What lies in `polyclinic/` of a wheel built from this tree's source distribution, without network."""
    folder = tmp_path_factory.mktemp("any name will do")
    for path in ["pyproject.toml", "README.md", "LICENSE", *package_files]:
        (folder / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, folder / "tree" / path)
    with tarfile.open(_build("sdist", folder / "tree", folder)) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    with zipfile.ZipFile(_build("wheel", unpacked, folder)) as archive:
        return {name.removeprefix("polyclinic/") for name in archive.namelist() if name.startswith("polyclinic/")}


def _build(kind: str, tree: Path, out: Path) -> Path:
    command = f"import sys; from setuptools import build_meta; print(build_meta.build_{kind}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", command, str(out)],
        cwd=tree, env={**os.environ, "PIP_NO_INDEX": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return out / done.stdout.splitlines()[-1]


def test_the_package_list_names_the_folders_on_disk(sources: list[Any], settings: dict[str, Any]) -> None:
    folders = {".".join(["polyclinic", *Path(source.path).parent.parts]) for source in sources}
    assert settings["tool"]["setuptools"]["packages"] == sorted(folders)


def test_every_folder_with_code_is_a_package(package_files: list[str]) -> None:
    folders = {Path(path).parent for path in package_files if path.endswith(".py")}
    assert sorted(str(folder) for folder in folders if str(folder / "__init__.py") not in package_files) == []


def test_the_wheel_holds_the_package_and_nothing_else(wheel: set[str], package_files: list[str]) -> None:
    assert sorted(set(package_files) - wheel) == [], "a new kind of data file goes into [tool.setuptools.package-data]"
    assert sorted(wheel - set(package_files)) == [], "these are no files of the package"
