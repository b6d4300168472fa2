"""Who imports whom, and when: what import-linter cannot say. The arrows and the doors are its contracts."""

from __future__ import annotations

import graphlib
import json
import subprocess
import sys
from typing import Any

import pytest

# Where a heavy library may be imported as the module loads; everywhere else on first use. The list only shrinks.
DOORS = {
    "PIL": {"polyclinic.tools.gate.recipe"},
    "bm25s": set(),
    "faiss": set(),
    "inspect_ai": set(),
    "langgraph": {"polyclinic.agents.graph"},  # nothing but the compiled graph lives there; Clinic imports it late
    "mcp": {"polyclinic.app.mcp"},  # only `tools serve` imports that file
    "nibabel": set(),
    "onnx": set(),
    "onnxruntime": set(),
    "pint": set(),
    "pydicom": set(),
    "pypdf": set(),
    "rouge_score": set(),
    "sacrebleu": set(),
    "scipy": {"polyclinic.tools.gate.recipe"},
    "skimage": set(),
    "sklearn": set(),
    "tifffile": set(),
    "torch": {  # their classes derive from torch's; training imports them late
        "polyclinic.tools.learned.training.nets",
        "polyclinic.tools.learned.training.recipes.blood_cells",
    },
    "transformers": set(),
}  # fmt: skip


def test_importing_modules_never_runs_in_a_circle(sources: list[Any]) -> None:
    modules = {source.module for source in sources}
    graph = {
        source.module: {
            name
            for name in source.imports_on_load & modules
            # naming a module of one's own package passes through the package, which is already being loaded
            if not f"{source.module}.".startswith(f"{name}.")
        }
        for source in sources
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("modules import one another in a circle: " + " → ".join(error.args[1]))


def test_heavy_libraries_load_on_first_use(sources: list[Any]) -> None:
    eager = sorted(
        f"{source.path} imports {library} as it loads"
        for source in sources
        for library in {name.partition(".")[0] for name in source.imports_on_load} & DOORS.keys()
        if source.module not in DOORS[library]
    )
    assert not eager


def test_core_imports_the_standard_library_and_pydantic(sources: list[Any]) -> None:
    allowed = {*sys.stdlib_module_names, "pydantic", "pydantic_core", "polyclinic"}
    strangers = sorted(
        f"{source.path} imports {name}"
        for source in sources
        if source.path.startswith("core/")
        for name in source.imports
        if name.partition(".")[0] not in allowed
    )
    assert not strangers


@pytest.mark.parametrize(
    ("module", "stays_out"),
    [
        ("polyclinic", {"pydantic", "yaml", "typer", "rich", "numpy", *DOORS}),
        ("polyclinic.app.cli", {"numpy", *DOORS}),
    ],
)
def test_a_fresh_interpreter_loads_nothing_heavy(module: str, stays_out: set[str]) -> None:
    command = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not stays_out & set(json.loads(done.stdout))


def test_the_public_face_is_five_names() -> None:
    import polyclinic

    assert sorted(polyclinic.__all__) == ["Case", "Clinic", "Image", "Report", "Visit"]
    for name in polyclinic.__all__:
        assert getattr(polyclinic, name).__name__ == name
    with pytest.raises(AttributeError):
        polyclinic.Utils  # noqa: B018
