"""The door to onnxruntime: a trained network as a function of arrays. It does not know what the numbers mean.

One thread and a fixed order of operations, so that the same picture gives the same numbers on one machine, whatever
else runs there.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.canonical import sha256
from ...core.errors import MissingExtraError, SetupError
from .cards import WEIGHTS, how_to_restore, shipped_card

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_loaded: dict[tuple[str, str], Network] = {}
_loading = threading.Lock()


class Network:
    """A network ready to run. Make one with `shipped` or `at`."""

    def __init__(self, weights: bytes, *, name: str) -> None:
        """Raises MissingExtraError without onnxruntime, SetupError for bytes that are no network."""
        try:
            import onnxruntime
        except ModuleNotFoundError:
            raise MissingExtraError.of("onnxruntime", "imaging") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.enable_mem_pattern = False  # made for one size of picture, it keeps a plan and memory for each
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - onnxruntime raises anything on damaged bytes
            raise SetupError(
                expected=f"the weights {name}.onnx as a network",
                got=f"a file onnxruntime cannot read ({type(error).__name__})",
                fix=how_to_restore(name),
            ) from None
        self._input = self._session.get_inputs()[0].name

    @classmethod
    def shipped(cls, name: str) -> Network:
        """The network that ships as `name`, loaded once per process. Raises SetupError where it is missing or not the
        one its card names."""
        expected = shipped_card(name).sha256
        with _loading:
            network = _loaded.get((name, expected))
            if network is None:
                network = _loaded[name, expected] = cls(_read(WEIGHTS / f"{name}.onnx", expected), name=name)
            return network

    @classmethod
    def at(cls, path: Path) -> Network:
        """The network in the file `path`. Raises SetupError."""
        return cls(_read(path, None), name=path.stem)

    def run(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """The outputs for a float32 batch (N, C, H, W), in the order the network names them."""
        import numpy as np

        return tuple(self._session.run(None, {self._input: np.ascontiguousarray(x, dtype=np.float32)}))


def _read(path: Path, expected: str | None) -> bytes:
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise SetupError(
            expected=f"the weights {path.name}", got=error.strerror or "no such file", fix=how_to_restore(path.stem)
        ) from None
    if expected is not None and sha256(weights) != expected:
        raise SetupError(
            expected=f"the weights {path.name} with the sha256 {expected[:12]}…",
            got=f"a file with {sha256(weights)[:12]}…",
            fix=how_to_restore(path.stem),
        )
    return weights
