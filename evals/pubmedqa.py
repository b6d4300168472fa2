"""PubMedQA: yes, no or maybe, from the abstract of a paper without its conclusion (Jin et al. 2019, MIT licence).

A real record, shortened, PMID 10808977:

    "QUESTION": "Can tailored interventions increase mammography use among HMO women?",
    "CONTEXTS": ["Telephone counseling and tailored print communications have emerged as …", …],
    "final_decision": "yes"

The record's `LONG_ANSWER` is the conclusion, and its `*_pred` fields are answers too: none is ever part of a case.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ..core.case import Case
from ..core.errors import InputError
from .sample import Sample

OPTIONS = {"A": "yes", "B": "no", "C": "maybe"}


def samples(path: Path) -> Iterator[Sample]:
    """The samples of a file in the published format (`ori_pqal.json`, `pqal_dev.json`), in the order of their PMIDs.

    Raises InputError when the file is missing or of another format.
    """
    letters = {text: letter for letter, text in OPTIONS.items()}
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        for pmid, record in sorted(records.items(), key=lambda item: int(item[0])):
            context = tuple(text for text in record["CONTEXTS"] if text.strip())
            case = Case(id=f"pubmedqa-{pmid}", question=record["QUESTION"], options=OPTIONS, context=context)
            yield Sample(case=case, target=letters[record["final_decision"]])
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            expected=f"PubMedQA records by PMID in {path}",
            got=f"{type(error).__name__}: {str(error)[:80]}",
            fix="name the file ori_pqal.json or pqal_dev.json of the PubMedQA release",
        ) from error
