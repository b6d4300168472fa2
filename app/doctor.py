"""What is installed, what is missing and what to type: `polyclinic doctor`. It changes nothing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil

from ..core.errors import PolyclinicError
from ..core.settings import load_settings

NEEDED = {"cpu": ("faiss", "bm25s"), "imaging": ("PIL", "pydicom", "skimage", "scipy", "nibabel")}
DISTRIBUTIONS = {"faiss": "faiss-cpu", "PIL": "pillow", "skimage": "scikit-image"}


def examine() -> int:
    """Print one line per check; 0 when the embedded engine can answer an image case, 2 when something is missing."""
    found = [*_packages(), _settings(), _knowledge()]
    for good, line in found:
        print(f"{'ok     ' if good else 'MISSING'}  {line}")
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
    from ..agents.roles import load_roles
    from ..knowledge.criteria import shipped_criteria
    from ..tools.registry import TOOLS

    try:
        return (
            True,
            f"{len(load_roles())} specialties, {len(shipped_criteria())} diagnostic criteria, {len(TOOLS)} tools",
        )
    except PolyclinicError as error:
        return False, f"shipped data: {error}"


def _shown(engine: str) -> str:
    """An engine's name; a URL without the secrets it may hold, and with what to type to try it."""
    if "://" not in engine:
        return engine
    from ..agents.engines.client import shown

    return f"{shown(engine)} (not tried here: type polyclinic models check {shown(engine)})"
