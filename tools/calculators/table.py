"""The one written-out table of calculators, by organ system. It computes nothing."""

from __future__ import annotations

from ..card import Tool
from . import (
    blood,
    body,
    cardiac,
    critical,
    digestive,
    hepatic,
    injury,
    measures,
    metabolic,
    neurology,
    nodules,
    obstetric,
    pulmonary,
    renal,
    risk,
    thrombosis,
)

CALCULATORS: tuple[Tool, ...] = (
    *renal.TOOLS,
    *hepatic.TOOLS,
    *digestive.TOOLS,
    *pulmonary.TOOLS,
    *thrombosis.TOOLS,
    *cardiac.TOOLS,
    *risk.TOOLS,
    *critical.TOOLS,
    *metabolic.TOOLS,
    *body.TOOLS,
    *obstetric.TOOLS,
    *neurology.TOOLS,
    *blood.TOOLS,
    *nodules.TOOLS,
    *measures.TOOLS,
    *injury.TOOLS,
)
