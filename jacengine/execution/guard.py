"""A guard around strategies that are not trusted: what they change is put back.

A plugin may write to its primals or to parameters, leave hooks or settings behind, or
replace a parameter. Whatever it does to the arguments, to modules and objects that the
function refers to, and to the settings of torch is undone after each run, and told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jacengine._torch_private import (
    is_own_attribute,
    set_onednn,
    set_version,
    tensor_hooks,
    tensors_of,
    version_of,
)
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.side_effects import Attributes, same_values

_SDP = torch.backends.cuda
SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "default device": (torch.get_default_device, torch.set_default_device),
    "number of threads": (torch.get_num_threads, torch.set_num_threads),
    "deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "anomaly mode": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "matmul precision": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "autocast": (
        lambda: torch.is_autocast_enabled("cpu"),
        lambda value: torch.set_autocast_enabled("cpu", value),
    ),
    "oneDNN": (lambda: torch.backends.mkldnn.enabled, set_onednn),
    "cuDNN": (
        lambda: torch.backends.cudnn.enabled,
        lambda value: setattr(torch.backends.cudnn, "enabled", value),
    ),
    "encoder fast path": (
        torch.backends.mha.get_fastpath_enabled,
        torch.backends.mha.set_fastpath_enabled,
    ),
    "flash attention": (_SDP.flash_sdp_enabled, _SDP.enable_flash_sdp),
    "efficient attention": (
        _SDP.mem_efficient_sdp_enabled,
        _SDP.enable_mem_efficient_sdp,
    ),
    "math attention": (_SDP.math_sdp_enabled, _SDP.enable_math_sdp),
}
"""Settings of torch: how each is read and written."""
_NAMES = {"training": "training flags", "_parameters": "parameters"}


@dataclass(frozen=True)
class _Kept:
    """A tensor of the user's, as it was."""

    what: str
    tensor: Tensor
    copy: Tensor
    version: int
    requires_grad: bool
    grad: Tensor | None
    hooks: dict[int, Any]

    @classmethod
    def of(cls, what: str, tensor: Tensor) -> _Kept:
        return cls(
            what,
            tensor,
            tensor.detach().clone(),
            version_of(tensor),
            tensor.requires_grad,
            tensor.grad if tensor.is_leaf else None,
            tensor_hooks(tensor).copy(),
        )

    def restore(self) -> Iterator[str]:
        """Put it back; yield what was changed."""
        tensor = self.tensor
        # By value: buffers that the function writes are put back already.
        if not same_values(tensor, self.copy):
            with torch.no_grad():
                tensor.copy_(self.copy)
            set_version(tensor, self.version)
            yield self.what
        if tensor_hooks(tensor) != self.hooks:
            tensor_hooks(tensor).clear()
            tensor_hooks(tensor).update(self.hooks)
            yield f"hooks of {self.what}"
        if not tensor.is_leaf:
            return
        if tensor.requires_grad != self.requires_grad:
            tensor.requires_grad_(self.requires_grad)
            yield "requires_grad"
        if tensor.grad is not self.grad:
            tensor.grad = self.grad
            yield "gradients"


class Guard:
    """Everything that a strategy could change, as it is now."""

    def __init__(self, bound: BoundFunction) -> None:
        """Record it; tensors are copied."""
        found = bound.callee.refer_now()
        arguments = [leaf for leaf in bound.leaves if isinstance(leaf, Tensor)]
        held = [*found.tensors, *tensors_of(found.modules)]
        modules = [m for root in found.modules for m in root.modules()]
        every = {id(t): ("tensors of the function", t) for t in held}
        every |= {id(t): ("arguments", t) for t in arguments}
        self._tensors = [_Kept.of(what, tensor) for what, tensor in every.values()]
        self._attributes = [Attributes(module, whole=True) for module in modules]
        self._attributes += map(Attributes, found.objects)
        self._settings = {name: read() for name, (read, _) in SETTINGS.items()}

    def restore(self) -> str | None:
        """Put everything back.

        Returns:
            What was changed, in words; `None` if nothing.
        """
        return ", ".join(sorted(set(self._restored()))) or None

    def _restored(self) -> Iterator[str]:
        for name, (read, write) in SETTINGS.items():
            if read() != self._settings[name]:
                write(self._settings[name])
                yield name
        for attributes in self._attributes:
            for name in attributes.changes():
                own = is_own_attribute(name)
                hooks = not own and name.endswith("hooks")
                yield "hooks" if hooks else _NAMES.get(name, f"attribute {name!r}")
            attributes.restore()
        for kept in self._tensors:
            yield from kept.restore()
