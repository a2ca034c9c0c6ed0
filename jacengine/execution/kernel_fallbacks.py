"""Kernel fallbacks: fused kernels are switched off where they lack a formula.

Some fused kernels have no forward-mode formula, no second derivative or no batching
rule, while the unfused operators that compute the same have them all. A strategy whose
error names such a kernel is tried again without it, and the plan's notes say so.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine._torch_private import set_onednn

T = TypeVar("T")


@contextmanager
def _unfused_recurrence() -> Generator[None]:
    # Not by mkldnn.flags: it sets allow_tf32 too, and leaves it so.
    before = bool(torch.backends.mkldnn.enabled)
    set_onednn(enabled=False)
    try:
        with torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        set_onednn(enabled=before)


@contextmanager
def _unfused_encoder() -> Generator[None]:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(value=False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(value=before)


@dataclass(frozen=True)
class KernelFallback:
    """A setting of torch that holds while a strategy runs.

    Attributes:
        name: What it does, for explanations.
        messages: Parts of the error messages that it is the remedy for.
        enter: Makes the context manager.
        records_graph: Whether it makes autograd record the forward pass.
    """

    name: str
    messages: tuple[str, ...]
    enter: Callable[[], AbstractContextManager[object]] = field(
        compare=False, repr=False
    )
    records_graph: bool = False


KERNEL_FALLBACKS: tuple[KernelFallback, ...] = (
    KernelFallback(
        "attention by the math kernel",
        ("scaled_dot_product", "flash_attention", "efficient_attention"),
        lambda: sdpa_kernel(SDPBackend.MATH),
    ),
    KernelFallback(
        "recurrence without oneDNN and cuDNN",
        ("mkldnn_rnn", "_cudnn_rnn", "cudnn RNN", "CudnnRnn", "MkldnnRnn"),
        _unfused_recurrence,
    ),
    KernelFallback(
        "encoder without its inference fast path",
        ("_transformer_encoder_layer_fwd", "_native_multi_head_attention"),
        _unfused_encoder,
    ),
    KernelFallback(
        "gradients recorded, which the function itself takes",
        ("does not require grad", "tensors used in the graph require grad"),
        torch.enable_grad,
        records_graph=True,
    ),
)
"""Every fallback there is; the first whose message matches is taken."""


def fallback_for(error: BaseException) -> KernelFallback | None:
    """Find the fallback for an error, by the kernel that the message names."""
    message = str(error)
    fitting = (
        f for f in KERNEL_FALLBACKS if any(part in message for part in f.messages)
    )
    return next(fitting, None)


def with_fallbacks(run: Callable[[], T]) -> T:
    """Run something, and again with each fallback that the error of a run asks for.

    Raises:
        RuntimeError: What it raised when there was no further fallback for it.
    """
    fallbacks: tuple[KernelFallback, ...] = ()
    while True:
        try:
            with ExitStack() as stack:
                if fallbacks:  # settings of all threads
                    stack.enter_context(TORCH_GLOBAL_LOCK)
                for fallback in fallbacks:
                    stack.enter_context(fallback.enter())
                return run()
        except RuntimeError as error:
            further = fallback_for(error)
            if further is None or further in fallbacks:
                raise
            fallbacks = (*fallbacks, further)
