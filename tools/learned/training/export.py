"""From a trained torch module to an ONNX file, checked: onnxruntime must give what torch gives."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ....core.errors import SetupError
from ....core.whole import write_whole
from ..network import Network

OPSET = 17
TOLERANCE = 1e-3


def to_onnx(module: Any, example: tuple[int, ...], path: Path) -> None:
    """Write `module` to `path` whole or not at all; `example` is the shape (C, H, W) of one input.

    The number of pictures, and of outputs that are maps the height and width, stay free. Raises SetupError when
    onnxruntime answers otherwise than torch.
    """
    import torch

    module.eval()
    x = torch.from_numpy(np.random.default_rng(0).random((2, *example), dtype=np.float32))
    with torch.no_grad():
        outputs = _listed(module(x))
    names = [f"y{number}" for number in range(len(outputs))]
    free = {name: _free(value.ndim) for name, value in zip(["x", *names], [x, *outputs], strict=True)}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package announces its age
        torch.onnx.export(
            module, (x,), buffer, dynamo=False, opset_version=OPSET, input_names=["x"], output_names=names,
            dynamic_axes=free,
        )  # fmt: skip
    _check(buffer.getvalue(), module, example, name=path.stem)
    write_whole(path, buffer.getvalue())


def check_writable(folder: Path) -> None:
    """Make a folder where there is none, before hours of work that is to end in it. Raises SetupError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
        why = "a folder that cannot be written"
    except OSError as error:
        writable, why = False, error.strerror or str(error)
    if not writable:
        raise SetupError(expected=f"to write {folder}", got=why, fix="name a folder you may write to")


def _listed(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, tuple | list) else [outputs]


def _free(dimensions: int) -> dict[int, str]:
    return {0: "n", 2: "h", 3: "w"} if dimensions == 4 else {0: "n"}


def _check(weights: bytes, module: Any, example: tuple[int, ...], *, name: str) -> None:
    """Compare on one picture of another brightness than the one that was traced."""
    import torch

    x = 0.5 * np.random.default_rng(1).random((1, *example), dtype=np.float32)
    with torch.no_grad():
        expected = [value.numpy() for value in _listed(module(torch.from_numpy(x)))]
    got = Network(weights, name=name).run(x)
    apart = max(float(np.abs(a - b).max() / (1.0 + np.abs(a).max())) for a, b in zip(expected, got, strict=True))
    if not apart < TOLERANCE:
        raise SetupError(
            expected=f"onnxruntime and torch to agree on {name} within {TOLERANCE:g}",
            got=f"a difference of {apart:.2g}",
            fix="use the versions of torch and onnxruntime the extra `train` names",
        )
