"""The written-out table of benchmarks by name. Listing the names imports none of them."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, cast

from ...core.errors import InputError

if TYPE_CHECKING:
    from ..benchmark import Benchmark

BENCHMARKS = (
    "agentclinic",
    "bioasq-factoid",
    "bioasq-list",
    "bioasq-yesno",
    "blood_cells",
    "brain_tumour",
    "brain_tumour-type",
    "cxreasonbench",
    "gmai_mmbench",
    "haemorrhage",
    "mediconfusion",
    "mediq",
    "medmcqa",
    "medmultipoints",
    "medq_bench",
    "medqa",
    "medsg_bench",
    "medxpertqa-mm",
    "medxpertqa-text",
    "mmlu_medical",
    "mmxu",
    "nuclei",
    "omnimedvqa",
    "pathvqa-open",
    "pathvqa-yesno",
    "pmc_vqa",
    "pneumonia",
    "pubmedqa",
    "slake-open",
    "slake-yesno",
    "temmed_bench",
    "vessels_chase",
    "vessels_drive",
    "vqa_rad-open",
    "vqa_rad-yesno",
)
"""Names of files here; where a set asks for several kinds of answer, its file has PARTS, named after the hyphen."""


def benchmark(name: str) -> Benchmark:
    """The benchmark called `name`. Raises InputError when there is none."""
    if name not in BENCHMARKS:
        near = get_close_matches(name, BENCHMARKS, n=3) or BENCHMARKS
        raise InputError(
            expected=f"one of the {len(BENCHMARKS)} benchmarks", got=repr(name), fix=f"name {' or '.join(near)}"
        )
    file, _, part = name.partition("-")
    module = import_module(f"{__package__}.{file}")
    return cast("Benchmark", module.PARTS[part] if part else module.BENCHMARK)
