"""What each strategy declines, and why: every pair that is not listed here is right.

A pattern must be found in the reason that the strategy gives. Strategies that
differentiate parameters only decline every scenario about inputs: declared once.
"""

import torch

from tests.contract.scenario import Scenario

OTHER_NUMBERS = "would draw other random numbers"
WRONG = "its result is off by .* from plain autograd"
IN_PLACE_STATISTICS = r"in-place operation \(aten::add_|running_mean or running_var"
SAVED_TENSOR_HOOKS = "don't yet support saved tensor hooks"
RECOMPUTED = "CheckpointError|escaped from inside a function being vmapped"
DATA_DEPENDENT = r"calling \.item\(\)"
IN_PLACE_UNDER_VMAP = r"vmap: (index_put_|inplace arithmetic).* is not possible"
NO_SETUP_CONTEXT = "must override the setup_context"
NO_JVP_RULE = "must implement the jvp function"
NO_VMAP_RULE = "does not have vmap support"
INPUTS = "differentiates parameters of modules, not inputs"


def _no_second_derivative(operator: str) -> str:
    return f"derivative for '{operator}' is not implemented"


def _no_forward_formula(operator: str) -> str:
    return f"forward AD with {operator}"


def _no_batching_rule(operator: str) -> str:
    return f"Batching rule not implemented for {operator}"


UNSUPPORTED: dict[str, dict[str, str]] = {
    "cdist": {
        "vmap_vjp": WRONG,
        "double_vjp": _no_second_derivative("_cdist_backward"),
        "double_vjp_repeat": _no_second_derivative("_cdist_backward"),
        "forward_dual": _no_forward_formula("_cdist_forward"),
        "vmap_jvp": _no_forward_formula("_cdist_forward"),
    },
    "cdist_batched": {
        "vmap_vjp": WRONG,
        "double_vjp": _no_second_derivative("_cdist_backward"),
        "double_vjp_repeat": _no_second_derivative("_cdist_backward"),
        "forward_dual": _no_forward_formula("_cdist_forward"),
        "vmap_jvp": _no_forward_formula("_cdist_forward"),
    },
    "index_put_into_zeros": {
        "repeat": IN_PLACE_UNDER_VMAP,
        "double_vjp_repeat": IN_PLACE_UNDER_VMAP,
    },
    "grid_sample": {
        "forward_dual": _no_forward_formula("grid_sampler_2d"),
        "vmap_jvp": _no_forward_formula("grid_sampler_2d"),
    },
    "no_grad_block": {
        "forward_dual": WRONG,
        "vmap_jvp": WRONG,
    },
    "no_grad_block_batched": {
        "forward_dual": WRONG,
        "vmap_jvp": WRONG,
    },
    "data_dependent_branch": {
        "repeat": DATA_DEPENDENT,
        "double_vjp_repeat": DATA_DEPENDENT,
    },
    "data_dependent_branch_other": {
        "repeat": DATA_DEPENDENT,
        "double_vjp_repeat": DATA_DEPENDENT,
    },
    "data_dependent_loop": {
        "repeat": DATA_DEPENDENT,
        "double_vjp_repeat": DATA_DEPENDENT,
    },
    "old_style_function": {
        "repeat": NO_SETUP_CONTEXT,
        "vmap_vjp": NO_SETUP_CONTEXT,
        "double_vjp_repeat": NO_SETUP_CONTEXT,
        "forward_dual": NO_JVP_RULE,
        "vmap_jvp": NO_SETUP_CONTEXT,
    },
    "old_style_function_batched": {
        "vmap_vjp": NO_SETUP_CONTEXT,
        "forward_dual": NO_JVP_RULE,
        "vmap_jvp": NO_SETUP_CONTEXT,
    },
    "new_style_function": {
        "repeat": NO_VMAP_RULE,
        "double_vjp_repeat": NO_VMAP_RULE,
        "forward_dual": NO_JVP_RULE,
        "vmap_jvp": NO_VMAP_RULE,
    },
    "new_style_function_batched": {
        "forward_dual": NO_JVP_RULE,
        "vmap_jvp": NO_VMAP_RULE,
    },
    "function_with_vmap_rule": {
        "forward_dual": NO_JVP_RULE,
        "vmap_jvp": NO_JVP_RULE,
    },
    "checkpoint": {
        "repeat": RECOMPUTED,
        "vmap_vjp": SAVED_TENSOR_HOOKS,
        "double_vjp_repeat": RECOMPUTED,
    },
    "checkpoint_batched": {
        "vmap_vjp": SAVED_TENSOR_HOOKS,
    },
    "in_place_into_zeros": {
        "repeat": IN_PLACE_UNDER_VMAP,
        "double_vjp_repeat": IN_PLACE_UNDER_VMAP,
    },
    "batch_norm_train_whole": {
        "repeat": IN_PLACE_STATISTICS,
        "vmap_vjp": IN_PLACE_STATISTICS,
        "double_vjp_repeat": IN_PLACE_STATISTICS,
        "vmap_jvp": IN_PLACE_STATISTICS,
    },
    "dropout_inputs": {
        "repeat": OTHER_NUMBERS,
        "double_vjp_repeat": OTHER_NUMBERS,
    },
    "dropout_whole": {
        "repeat": OTHER_NUMBERS,
        "double_vjp_repeat": OTHER_NUMBERS,
    },
    "dropout_params": {
        "repeat": OTHER_NUMBERS,
        "double_vjp_repeat": OTHER_NUMBERS,
    },
    "lstm_params": {
        "repeat": _no_batching_rule("aten::lstm.input"),
        "double_vjp_repeat": _no_batching_rule("aten::lstm.input"),
    },
    "lstm_whole": {
        "repeat": _no_batching_rule("aten::lstm.input"),
        "double_vjp_repeat": _no_batching_rule("aten::lstm.input"),
    },
    "lstm_sequence_first_params": {
        "repeat": _no_batching_rule("aten::lstm.input"),
        "double_vjp_repeat": _no_batching_rule("aten::lstm.input"),
    },
    "lstm_deep_params": {
        "repeat": _no_batching_rule("aten::lstm.input"),
        "double_vjp_repeat": _no_batching_rule("aten::lstm.input"),
    },
    "lstm_state_params": {
        "repeat": _no_batching_rule("aten::lstm.input"),
        "double_vjp_repeat": _no_batching_rule("aten::lstm.input"),
    },
    "gru_params": {
        "repeat": _no_batching_rule("aten::gru.input"),
        "double_vjp_repeat": _no_batching_rule("aten::gru.input"),
    },
    "rnn_params": {
        "repeat": _no_batching_rule("aten::rnn_tanh.input"),
        "double_vjp_repeat": _no_batching_rule("aten::rnn_tanh.input"),
    },
    "lstm_cell_params": {
        "repeat": _no_batching_rule("aten::lstm_cell"),
        "double_vjp_repeat": _no_batching_rule("aten::lstm_cell"),
    },
    "embedding_padded": {
        "forward_dual": WRONG,
        "vmap_jvp": WRONG,
    },
    "embedding_bag_mean": {
        "double_vjp": _no_second_derivative("_embedding_bag_backward"),
        "double_vjp_repeat": _no_second_derivative("_embedding_bag_backward"),
        "forward_dual": _no_forward_formula("_embedding_bag"),
        "vmap_jvp": _no_forward_formula("_embedding_bag"),
    },
    "embedding_bag_sum": {
        "double_vjp": _no_second_derivative("_embedding_bag_backward"),
        "double_vjp_repeat": _no_second_derivative("_embedding_bag_backward"),
        "forward_dual": _no_forward_formula("_embedding_bag"),
        "vmap_jvp": _no_forward_formula("_embedding_bag"),
    },
    "batch_norm_train_params": {
        "repeat": IN_PLACE_STATISTICS,
        "vmap_vjp": IN_PLACE_STATISTICS,
        "double_vjp_repeat": IN_PLACE_STATISTICS,
        "vmap_jvp": IN_PLACE_STATISTICS,
    },
    "weight_norm_params": {
        "forward_dual": _no_forward_formula("_weight_norm_interface"),
        "vmap_jvp": _no_forward_formula("_weight_norm_interface"),
    },
    "checkpointed_params": {
        "repeat": RECOMPUTED,
        "vmap_vjp": SAVED_TENSOR_HOOKS,
        "double_vjp_repeat": RECOMPUTED,
    },
}

if torch.__version__ < "2.12":
    # A checkpoint saves its inputs by an autograd.Function that has neither rule.
    _copied = {"repeat": NO_VMAP_RULE, "double_vjp_repeat": NO_VMAP_RULE}
    _pushed = {"forward_dual": NO_JVP_RULE, "vmap_jvp": NO_VMAP_RULE}
    UNSUPPORTED["checkpoint"] |= _copied | _pushed
    UNSUPPORTED["checkpoint_batched"] |= _pushed
    UNSUPPORTED["checkpointed_params"] |= _copied | {"vmap_jvp": NO_VMAP_RULE}
    UNSUPPORTED["grid_sample"] |= {
        "vmap_vjp": "undefined Tensor",
        "double_vjp": "grid_sampler_2d_backward is not implemented",
        "double_vjp_repeat": "grid_sampler_2d_backward is not implemented",
    }


BY_ELIMINATION: dict[str, tuple[str, ...]] = {
    "takes one input, and one output": (
        "tuple_of_arguments",
        "arguments_out_of_order",
        "all_inputs",
        "all_inputs_batched",
        "nested_input",
        "dict_output",
        "namedtuple_in_and_out",
        "dataclass_in_and_out",
        "dataclass_batched",
        "namedtuple_batched",
        "integer_leaf_in_dict",
        "same_tensor_twice_both",
        "aux",
        "aux_batched",
        "shared_argument_varied",
        "batch_on_different_axes",
        "rows_of_tree",
        "rows_of_tree_all_inputs",
        "columns_of_tree",
        "rows_and_columns_of_trees",
        "rows_and_columns_batched",
        "maximum",
        "einsum",
        "partly_independent",
        "unused_argument",
        "input_among_outputs",
        "input_among_outputs_batched",
        "pendulum_rollout",
        "pinn_inputs",
        "two_heads_inputs",
        "lstm_state_inputs",
        "two_inputs_tree_inputs",
    ),
    "forward AD with _cdist_forward": ("cdist",),
    "off by": ("cdist_batched",),
    "is invalid for input of size": ("solve_batched",),
    "forward AD with grid_sampler_2d": ("grid_sample",),
    "does not read its input": ("independent_output",),
    r"torch\._check|item\(\)": (
        "data_dependent_branch",
        "data_dependent_branch_other",
        "data_dependent_loop",
    ),
    "autograd_function_apply": (
        "old_style_function",
        "old_style_function_batched",
        "new_style_function",
        "new_style_function_batched",
        "function_with_vmap_rule",
    ),
    "tag_activation_checkpoint": (
        "checkpoint",
        "checkpoint_batched",
    ),
    "cannot be represented as a SymInt": (
        "in_place_into_zeros",
        "in_place_into_zeros_batched",
    ),
    "random numbers or state": (
        "batch_norm_train_whole",
        "dropout_inputs",
        "dropout_whole",
    ),
    "at non-singleton dimension": (
        "prelu_inputs",
        "prelu_shared_inputs",
    ),
    "PreluKernelBackward": ("prelu_square_inputs",),
}
"""What elimination declines, besides all scenarios about parameters, by reason."""


def declared(scenario: Scenario, strategy: str) -> str | None:
    """Return the pattern of the reason to decline, or `None` for a right result."""
    if strategy == "quasi_linear" and "params" not in scenario.tags:
        return INPUTS
    if strategy == "elimination":
        if "params" in scenario.tags:
            return "differentiates inputs, not parameters"
        found = (r for r, names in BY_ELIMINATION.items() if scenario.name in names)
        return next(found, None)
    return UNSUPPORTED.get(scenario.name, {}).get(strategy)
