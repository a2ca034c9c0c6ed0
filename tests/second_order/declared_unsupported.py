"""What each method of second derivatives declines, and why; all else is right.

A pattern must be found in the reason that the method gives. What holds of a method's
kind, and not of one scenario, is declared once, in `declared`.
"""

import torch

from jacengine.problem.quantity import Quantity
from tests.contract.declared_unsupported import (
    NO_JVP_RULE,
    NO_SETUP_CONTEXT,
    NO_VMAP_RULE,
    OTHER_NUMBERS,
    SAVED_TENSOR_HOOKS,
    WRONG,
)
from tests.contract.scenario import Scenario

SAMPLE_LOOP = "reverse_loop_over_grad"
COPIES = "repeat_over_grad"
BATCHED = "batched_grad_over_grad"
BATCHED_JVP = "batched_grad_over_jvp"
VJP_VJP = "vmap_vjp_over_vjp"
VJP_JVP = "vmap_vjp_over_jvp"
DUAL = "forward_dual_over_grad"
JVP_VJP = "vmap_jvp_over_vjp"
JVP_JVP = "vmap_jvp_over_jvp"
LAPLACIAN = "forward_laplacian"

RECORDED_UNDER_VMAP = r"call Tensor\.requires_grad_\(\)"
COMPLEX = "gives complex numbers"
IN_PLACE = "changes a tensor in place"
RECOMPUTED = "CheckpointError"
OWN_BACKWARD = "has a backward of its own"
PRELU = "PreluKernelBackward0 returned an invalid|The size of tensor a"
NO_FORWARD_SILU = "forward AD with aten::silu_backward"

NO_BATCHING = "no sample policy of this strategy is right here"
IN_PLACE_UNDER_VMAP = "doesn't match the broadcast shape"

_OVER_JVP = (BATCHED_JVP, VJP_JVP)
_BY_FUNC = (VJP_VJP, JVP_VJP)
_FORWARD = (*_OVER_JVP, DUAL, JVP_VJP, JVP_JVP)
_UNDER_VMAP = (BATCHED_JVP, VJP_JVP, JVP_VJP, JVP_JVP)
_PULLED = (SAMPLE_LOOP, BATCHED, *_OVER_JVP, VJP_VJP)


def _all(methods: tuple[str, ...], reason: str) -> dict[str, str]:
    return dict.fromkeys(methods, reason)


def _no_forward_formula(operator: str) -> dict[str, str]:
    return _all((*_FORWARD, LAPLACIAN), f"forward AD with {operator}")


UNSUPPORTED: dict[str, dict[str, str]] = {
    "solve_small": _all(_UNDER_VMAP, WRONG),
    "fft_batched": {LAPLACIAN: COMPLEX},
    "complex_inside": {LAPLACIAN: COMPLEX},
    "index_put_into_zeros": {LAPLACIAN: IN_PLACE},
    "in_place": {LAPLACIAN: IN_PLACE},
    "in_place_batched": {LAPLACIAN: IN_PLACE},
    "in_place_into_zeros_batched": {LAPLACIAN: IN_PLACE},
    "inplace_relu_inputs": {LAPLACIAN: IN_PLACE},
    "no_grad_block": _all(_FORWARD, WRONG),
    "no_grad_block_batched": _all(_FORWARD, WRONG),
    "old_style_function_batched": {
        **_all((*_UNDER_VMAP, VJP_VJP), NO_SETUP_CONTEXT),
        DUAL: NO_JVP_RULE,
        LAPLACIAN: OWN_BACKWARD,
    },
    "new_style_function_batched": {
        **_all(_UNDER_VMAP, NO_VMAP_RULE),
        DUAL: NO_JVP_RULE,
        LAPLACIAN: OWN_BACKWARD,
    },
    "function_with_vmap_rule": {
        **_all((*_OVER_JVP, DUAL, JVP_VJP), NO_JVP_RULE),
        JVP_JVP: "AssertionError: ",
        LAPLACIAN: OWN_BACKWARD,
    },
    "checkpoint_batched": {
        BATCHED_JVP: RECOMPUTED,
        **_all((VJP_VJP, VJP_JVP, JVP_VJP), SAVED_TENSOR_HOOKS),
    },
    "layer_norm_inputs": {
        **_all(_OVER_JVP, WRONG),
        **_all((JVP_VJP, JVP_JVP), NO_FORWARD_SILU),
    },
    "encoder_inputs": _all((*_OVER_JVP, JVP_JVP), WRONG),
    "dropout_inputs": {
        COPIES: OTHER_NUMBERS,
        LAPLACIAN: r"is random; call eval\(\) first",
    },
    "dropout_small_params": {
        COPIES: OTHER_NUMBERS,
        **_all(_BY_FUNC, WRONG),
        LAPLACIAN: r"is random; call eval\(\) first",
    },
    "lstm_small_params": {JVP_VJP: IN_PLACE_UNDER_VMAP},
    "embedding_padded": {
        LAPLACIAN: "second derivatives by forward mode are not those by reverse mode"
    },
    "prelu_shared_params": _all(_BY_FUNC, PRELU),
    "weight_norm_small": _no_forward_formula("_weight_norm_interface"),
}

if torch.__version__ < "2.12":
    # A checkpoint saves its inputs by an autograd.Function that has neither rule.
    UNSUPPORTED["checkpoint_batched"] |= {
        **_all(_UNDER_VMAP, NO_VMAP_RULE),
        DUAL: NO_JVP_RULE,
    }

REFUSED: dict[str, str] = {
    "batch_norm_train_params": "batch_dim says that samples are independent",
    "cdist_small": "derivative for '_cdist_backward' is not implemented",
}
"""What no method is asked for: samples that see each other have no Hessian of their
own; what plain reverse mode cannot differentiate twice has no truth to compare with."""


def declared(
    scenario: Scenario, quantity: Quantity, method: str, *, shared: bool
) -> str | None:
    """Return the pattern of the reason to decline, or `None` for a right result.

    Args:
        scenario: What is computed.
        quantity: What of it.
        method: By which method.
        shared: Whether samples share an input, or there are none.
    """
    row = UNSUPPORTED.get(scenario.name, {})
    if {"random", "params"} <= scenario.tags and quantity != "hessian":
        # Sample by sample, each would draw other numbers.
        row = {**row, **dict.fromkeys(_PULLED, NO_BATCHING)}
    under_vmap = shared and "empty" not in scenario.tags
    if method == COPIES and under_vmap and COPIES not in row:
        return RECORDED_UNDER_VMAP
    return row.get(method)
