"""Scoped settings of torch that mend an operator without a formula.

Some fused kernels have no forward-mode formula, no second derivative or no
sample_policy
rule, while the unfused path that computes the same has them all. A strategy that fails
with such an operator's name is tried again with the fused path switched off; the plan
says so.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

T = TypeVar("T")


@contextmanager
def _plain_recurrence() -> Generator[None]:
    with (
        torch.backends.mkldnn.flags(enabled=False),
        torch.backends.cudnn.flags(enabled=False),
    ):
        yield


@contextmanager
def _plain_encoder() -> Generator[None]:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(value=False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(value=before)


@dataclass(frozen=True)
class KernelFallback:
    """A setting that holds while a strategy runs.

    Attributes:
        name: What it does, for explanations.
        signs: Parts of the error messages that it mends.
        enter: Makes the context manager.
        records_graph: Whether it makes autograd record the forward pass.
    """

    name: str
    signs: tuple[str, ...]
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
        _plain_recurrence,
    ),
    KernelFallback(
        "encoder without its inference fast path",
        ("_transformer_encoder_layer_fwd", "_native_multi_head_attention"),
        _plain_encoder,
    ),
    KernelFallback(
        "gradients recorded, which the function itself takes",
        ("does not require grad", "tensors used in the graph require grad"),
        torch.enable_grad,
        records_graph=True,
    ),
)
"""Every scope there is. Order matters only for messages."""


def fallback_for(error: BaseException) -> KernelFallback | None:
    """Find the scope that mends an error, by the operator that the message names."""
    message = str(error)
    for scope in KERNEL_FALLBACKS:
        if any(sign in message for sign in scope.signs):
            return scope
    return None


@contextmanager
def applied_fallbacks(scopes: tuple[KernelFallback, ...]) -> Generator[None]:
    """Hold several scopes at once."""
    with ExitStack() as stack:
        for scope in scopes:
            stack.enter_context(scope.enter())
        yield


def with_fallbacks(run: Callable[[], T]) -> T:
    """Run something that may differentiate twice what torch differentiates once.

    It is run again in each scope that the error of the last run asks for.

    Raises:
        RuntimeError: What it raised when no scope, or no further one, could mend it.
    """
    scopes: tuple[KernelFallback, ...] = ()
    while True:
        try:
            with applied_fallbacks(scopes):
                return run()
        except RuntimeError as error:
            scope = fallback_for(error)
            if scope is None or scope in scopes:
                raise
            scopes = (*scopes, scope)
