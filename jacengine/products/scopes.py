"""Scoped settings of torch that mend an operator without a formula.

Some fused kernels have no forward-mode formula, no second derivative or no batching
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
class Scope:
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


SCOPES: tuple[Scope, ...] = (
    Scope(
        "attention by the math kernel",
        ("scaled_dot_product", "flash_attention", "efficient_attention"),
        lambda: sdpa_kernel(SDPBackend.MATH),
    ),
    Scope(
        "recurrence without oneDNN and cuDNN",
        ("mkldnn_rnn", "_cudnn_rnn", "cudnn RNN", "CudnnRnn", "MkldnnRnn"),
        _plain_recurrence,
    ),
    Scope(
        "encoder without its inference fast path",
        ("_transformer_encoder_layer_fwd", "_native_multi_head_attention"),
        _plain_encoder,
    ),
    Scope(
        "gradients recorded, which the function itself takes",
        ("does not require grad", "tensors used in the graph require grad"),
        torch.enable_grad,
        records_graph=True,
    ),
)
"""Every scope there is. Order matters only for messages."""


def mending(error: BaseException) -> Scope | None:
    """Find the scope that mends an error, by the operator that the message names."""
    message = str(error)
    for scope in SCOPES:
        if any(sign in message for sign in scope.signs):
            return scope
    return None


@contextmanager
def entered(scopes: tuple[Scope, ...]) -> Generator[None]:
    """Hold several scopes at once."""
    with ExitStack() as stack:
        for scope in scopes:
            stack.enter_context(scope.enter())
        yield


def mended(run: Callable[[], T]) -> T:
    """Run something that may differentiate twice what torch differentiates once.

    It is run again in each scope that the error of the last run asks for.

    Raises:
        RuntimeError: What it raised when no scope, or no further one, could mend it.
    """
    scopes: tuple[Scope, ...] = ()
    while True:
        try:
            with entered(scopes):
                return run()
        except RuntimeError as error:
            scope = mending(error)
            if scope is None or scope in scopes:
                raise
            scopes = (*scopes, scope)
