"""What holds for every test: one thread, one seed, and no trace left behind."""

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from jacengine.plans import planning

settings.register_profile("jacengine", deadline=None, derandomize=True)
settings.load_profile("jacengine")
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="there is no CUDA device")
    for item in items:
        if item.get_closest_marker("cuda") is not None:
            item.add_marker(skip)


def global_state() -> dict[str, object]:
    """Read every global setting of torch that a Jacobian could leave changed."""
    cpu = torch.backends.mkldnn
    return {
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "default dtype": torch.get_default_dtype(),
        "default device": str(torch.get_default_device()),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "oneDNN": (cpu.enabled, cpu.deterministic, getattr(cpu, "allow_tf32", None)),
        "cuDNN": torch.backends.cudnn.enabled,
        "encoder fast path": torch.backends.mha.get_fastpath_enabled(),
        "flash": torch.backends.cuda.flash_sdp_enabled(),
        "efficient": torch.backends.cuda.mem_efficient_sdp_enabled(),
        "math": torch.backends.cuda.math_sdp_enabled(),
        "anomaly mode": torch.is_anomaly_enabled(),
    }


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep choices off the disk, so that no test depends on an earlier one."""
    monkeypatch.setenv("JACENGINE_CACHE_DIR", "")
    monkeypatch.setattr(planning, "_SELECTIONS", OrderedDict())


class _Forgetful(OrderedDict[str, Any]):
    """Keeps nothing."""

    def __setitem__(self, key: str, value: Any) -> None:
        """Forget it."""


@pytest.fixture
def choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep choices on disk, in this folder, and nowhere else."""
    monkeypatch.setenv("JACENGINE_CACHE_DIR", str(tmp_path / "choices"))
    monkeypatch.setattr(planning, "_SELECTIONS", _Forgetful())
    # Load of the machine that runs the tests must not decide what is kept.
    monkeypatch.setattr("jacengine.selection.select.load_average", lambda: 0.0)
    return tmp_path / "choices"


@pytest.fixture(autouse=True)
def no_trace() -> Iterator[None]:
    """Start every test from one seed; fail it if a global setting is changed."""
    torch.manual_seed(0)
    before = global_state()
    yield
    after = global_state()
    changed = [name for name, value in before.items() if after[name] != value]
    assert not changed, f"left changed: {', '.join(changed)}"


@pytest.fixture
def rng_untouched() -> Iterator[None]:
    """Fail the test if it draws from the global random generator."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before), "random numbers were drawn"
