"""Networks, loop and export: shapes, the same result for the same seed, and ONNX that answers as torch does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polyclinic.core.errors import SetupError
from polyclinic.tools.learned.network import Network

for package in ("torch", "onnx", "onnxruntime"):
    pytest.importorskip(package, reason="needs torch and onnx: type python tests/experts/run.py")

import torch  # noqa: E402

from polyclinic.tools.learned.training import export  # noqa: E402
from polyclinic.tools.learned.training.export import to_onnx  # noqa: E402
from polyclinic.tools.learned.training.loop import Batch, dice_and_cross_entropy, fit, prepare  # noqa: E402
from polyclinic.tools.learned.training.nets import ResidualNet, UNet, parameters  # noqa: E402


def noisy(module: torch.nn.Module) -> torch.nn.Module:
    """The module after a few batches, so that its batch statistics are no longer those it was made with."""
    for seed in range(3):
        module.train()(
            torch.from_numpy(np.random.default_rng(seed).normal(2.0, 3.0, (4, 2, 32, 32)).astype(np.float32))
        )
    return module.eval()


@pytest.mark.parametrize("heads", [(), (1, 2)])
def test_a_u_net_is_exported_for_any_size(heads: tuple[int, ...], tmp_path: Path) -> None:
    prepare(0)
    module = noisy(UNet(2, 3, base=4, depth=2, heads=heads))
    to_onnx(module, (2, 16, 16), tmp_path / "u.onnx")
    x = np.random.default_rng(1).random((3, 2, 40, 24), dtype=np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(x))
    got = Network.at(tmp_path / "u.onnx").run(x)
    assert len(got) == max(1, len(heads))
    for a, b in zip(expected if heads else [expected], got, strict=True):
        assert b.shape == (3, a.shape[1], 40, 24)
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-3, atol=1e-4)


def test_a_residual_network_is_exported_for_any_size(tmp_path: Path) -> None:
    prepare(0)
    module = noisy(ResidualNet(2, 5, base=4, stages=3))
    to_onnx(module, (2, 32, 32), tmp_path / "r.onnx")
    x = np.random.default_rng(1).random((2, 2, 48, 40), dtype=np.float32)
    (got,) = Network.at(tmp_path / "r.onnx").run(x)
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.from_numpy(x)).numpy(), got, rtol=1e-3, atol=1e-4)


def test_what_answers_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    with pytest.raises(SetupError, match=r"torch to agree on u"):
        to_onnx(noisy(UNet(2, 1, base=4, depth=1)), (2, 16, 16), tmp_path / "u.onnx")
    assert not list(tmp_path.iterdir())


def test_widths_stop_doubling_and_numbers_are_counted() -> None:
    assert parameters(UNet(1, 1, base=8, depth=3, widest=16)) < parameters(UNet(1, 1, base=8, depth=3)) < 200_000
    assert parameters(torch.nn.Linear(3, 2)) == 8


def trained(seed: int) -> dict[str, torch.Tensor]:
    def sample_batch(rng: np.random.Generator) -> Batch:
        x = rng.random((4, 1, 16, 16), dtype=np.float32)
        return x, (x > 0.5).astype(np.float32)

    prepare(seed)
    module = UNet(1, 1, base=4, depth=1)
    losses: list[float] = []
    fit(
        module, sample_batch, dice_and_cross_entropy, steps=25, lr=2e-2, seed=seed,
        progress=lambda done, steps, loss: losses.append(loss),
    )  # fmt: skip
    assert len(losses) == 25
    assert losses[-1] < 0.7 * losses[0]
    assert not module.training
    return dict(module.state_dict())


def test_a_seed_gives_the_same_weights_again() -> None:
    first, again, other = trained(0), trained(0), trained(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_loss_leaves_out_what_has_no_weight() -> None:
    target = torch.zeros(1, 1, 4, 4)
    target[..., :2] = 1.0
    right = 20.0 * (2.0 * target - 1.0)
    wrong_outside = right.clone()
    wrong_outside[..., 3] = 20.0
    weight = torch.ones_like(target)
    weight[..., 3] = 0.0
    assert float(dice_and_cross_entropy(right, target)) == pytest.approx(0.0, abs=1e-3)
    assert float(dice_and_cross_entropy(wrong_outside, target)) > 1.0
    assert float(dice_and_cross_entropy(wrong_outside, target, weight)) == pytest.approx(0.0, abs=1e-3)
