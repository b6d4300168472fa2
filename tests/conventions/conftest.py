"""The repository as its own conventions see it: its files, its Python modules and its settings."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_THE_PACKAGE = {"bench", "build", "dist", "docs", "examples", "tests", "web"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One Python file, named as the repository and as Python name it."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def is_package(self) -> bool:
        return self.path.endswith("__init__.py")

    @property
    def module(self) -> str:
        parts = Path(self.path).with_suffix("").parts
        return ".".join(["polyclinic", *(parts[:-1] if self.is_package else parts)])

    @cached_property
    def imports_on_load(self) -> frozenset[str]:
        """Dotted names that loading this module imports: not those of functions, nor those only for type checkers."""
        return frozenset(self._imports(_run_on_load(self.tree.body)))

    @cached_property
    def imports(self) -> frozenset[str]:
        """Dotted names that this module imports anywhere."""
        return frozenset(self._imports(ast.walk(self.tree)))

    def _imports(self, nodes: Iterator[ast.AST]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    ups = node.level - (1 if self.is_package else 0)
                    package = self.module.split(".")[: -ups or None]
                    base = ".".join([*package, base] if base else package)
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)


def _run_on_load(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from _run_on_load(node.orelse)
            continue
        yield node
        for block in ("body", "orelse", "finalbody"):
            yield from _run_on_load(getattr(node, block, []))
        for handler in getattr(node, "handlers", []):
            yield from _run_on_load(handler.body)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def settings() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="session")
def files() -> list[str]:
    """Every file that is committed, or would be by `git add .`; outside a checkout, every file but hidden ones."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.split("\0")  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        hidden = ("__pycache__", "polyclinic.egg-info", "build", "dist", "runs")
        listed = [str(path) for path in found if not any(part.startswith(".") or part in hidden for part in path.parts)]
    return sorted(path for path in set(listed) if path and (ROOT / path).is_file())


@pytest.fixture(scope="session")
def package_files(files: list[str]) -> list[str]:
    """The root `__init__.py` and all that lies in a folder of the package."""
    return [path for path in files if path == "__init__.py" or _in_package(path, files)]


@pytest.fixture(scope="session")
def sources(package_files: list[str]) -> list[Source]:
    """The package's Python files."""
    found = [path for path in package_files if path.endswith(".py")]
    assert found, "no Python file found; these tests would hold nothing"
    return [Source(path=path, text=(ROOT / path).read_text()) for path in found]


def _in_package(path: str, files: list[str]) -> bool:
    folder, _, rest = path.partition("/")
    return (
        bool(rest)
        and folder not in NOT_THE_PACKAGE
        and not folder.startswith(".")
        and any(other.startswith(f"{folder}/") and other.endswith(".py") for other in files)
    )
