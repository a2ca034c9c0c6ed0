"""One look at a call: a plain forward pass, and VJPs where samples are claimed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, get_args

import torch
from torch import Tensor, nn

from jacengine import pytrees
from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine._torch_private import BatchNorm, parameter_of, version_of
from jacengine._torchfunc import Tensors
from jacengine.errors import (
    ArgumentError,
    CoupledSamplesError,
    InputTypeError,
    MutatedInputError,
    RandomnessError,
    kind_of,
    unknown_choice,
)
from jacengine.peak_memory import peak_memory
from jacengine.problem.bound_function import BoundFunction, Output, bind
from jacengine.problem.call_spec import TensorSpec, describe_call
from jacengine.problem.callee import Callee
from jacengine.problem.gradient_specs import (
    diagonal_rows,
    gradient_leaves,
    potential_of,
)
from jacengine.problem.independence import coupled_by_value, coupled_by_vjp
from jacengine.problem.nesting import refuse_lost_derivatives
from jacengine.problem.problem import (
    Entries,
    LayoutOption,
    Options,
    Problem,
    Randomness,
)
from jacengine.problem.quantity import FIRST_ORDER, PARTS, SECOND_ORDER
from jacengine.problem.random_draws import watch_draws
from jacengine.problem.side_effects import (
    preserve_side_effects,
    same_values,
)
from jacengine.problem.sparse_options import check_sparse_options


def analyze(
    callee: Callee,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Options,
) -> Problem:
    """Find out what a call's Jacobian is, and what strategies must know of it.

    Raises:
        ArgumentError: An option does not fit the call.
        InputTypeError: What is differentiated is not a real floating-point tensor.
        OutputTypeError: The outputs have no derivative.
        MutatedInputError: The function changes an argument in place.
        RandomnessError: It draws random numbers and `randomness` is "error".
        CoupledSamplesError: Samples depend on each other, and there is no
            per-sample answer.
    """
    fn = callee.fn
    _check_function(callee, kwargs, options)
    spec = describe_call(fn, args, kwargs, options.wrt, options.batch_dim)
    leaves = pytrees.flatten_call(args, kwargs)[0]
    refuse_lost_derivatives(callee, leaves, create_graph=options.create_graph)
    with torch.inference_mode(mode=False), torch.enable_grad():
        bound = bind(callee, spec, leaves, has_aux=options.has_aux)
        _check_tensors(bound)
        devices = {i.device for i in spec.inputs if i.device.type == "cuda"}
        with TORCH_GLOBAL_LOCK, callee.preserve_everything() as state:
            default = preserve_side_effects(devices, ())
            with default as before:
                with peak_memory(_device(bound)) as peak:
                    seen, tracked = _look(bound)
                drawn = any(generator.drawn for generator in before.defaults)
                if drawn and not _draws(bound, devices):
                    before.defaults.clear()  # another thread has, whose draws stay
                    drawn = False
            stochastic = drawn or state.own_drawn
            changed = state.changed_buffers()
            writes_attributes = state.attributes_changed or state.own_drawn
            if stochastic and options.randomness == "error":
                raise RandomnessError(
                    "The function draws random numbers (dropout in training mode, for "
                    "instance), so it has no Jacobian until they are fixed. Call "
                    ".eval() on the module, or pass randomness='same' to "
                    "differentiate it at one draw from the current random state."
                )
            outputs = _output_leaves(seen, spec.batch_size)
            coupled = spec.batch_size is not None and _coupled(
                bound, seen, tracked, spec.batch_size, stochastic=stochastic
            )
    if coupled and any(leaf.batch_dim is not None for leaf in spec.inputs):
        raise CoupledSamplesError(_coupling_advice(callee))
    if coupled and options.quantity in SECOND_ORDER:
        raise CoupledSamplesError(_coupling_advice(callee))
    differentiated, values, structure = outputs, outputs, seen.structure
    if PARTS[options.quantity] != "whole" and options.quantity in FIRST_ORDER:
        values, structure = (potential_of(outputs, spec.inputs, options),), pytrees.LEAF
    if options.quantity in SECOND_ORDER:
        differentiated = gradient_leaves(outputs, spec.inputs, options)
    row_count = sum(leaf.size for leaf in differentiated)
    column_count = sum(leaf.size for leaf in spec.inputs)
    columns = _indices(options.columns, "columns", column_count)
    rows = _indices(options.rows, "rows", row_count)
    if PARTS[options.quantity] != "whole" and columns is not None:
        if columns.unique().numel() < columns.numel():
            raise ArgumentError(
                f"columns= names an entry twice, which a {options.quantity} has once."
            )
        rows = diagonal_rows(values, spec.inputs, columns, options)
    return Problem(
        options=options,
        call_spec=spec,
        returned=outputs,
        returned_structure=seen.structure,
        values=values,
        value_structure=structure,
        outputs=differentiated,
        rows=rows,
        columns=columns,
        stochastic=stochastic,
        written=callee.places_of(changed),
        writes_attributes=writes_attributes,
        coupled=coupled,
        forward_bytes=peak.bytes,
        held_bytes=callee.held_bytes,
    )


def _check_function(callee: Callee, kwargs: object, options: Options) -> None:
    if not callable(callee.fn):
        raise ArgumentError(
            f"Expected a function or an nn.Module, got {kind_of(callee.fn)}."
        )
    if not isinstance(kwargs, Mapping):
        raise ArgumentError(
            f"kwargs={kwargs!r}: expected a dict of keyword arguments, got "
            f"{kind_of(kwargs)}."
        )
    if options.randomness not in get_args(Randomness):
        raise ArgumentError(
            unknown_choice("randomness", options.randomness, get_args(Randomness))
        )
    if options.rows is not None and PARTS[options.quantity] != "whole":
        raise ArgumentError(
            f"rows= chooses rows of a matrix; of a {options.quantity} choose entries "
            "of the input with columns=."
        )
    if options.with_value and options.quantity != "jacobian":
        raise ArgumentError(
            f"with_value=True belongs to quantity='jacobian', not to "
            f"{options.quantity!r}; leave it out, and call the function."
        )
    if options.layout not in get_args(LayoutOption):
        raise ArgumentError(
            unknown_choice("layout", options.layout, get_args(LayoutOption))
        )
    check_sparse_options(options)
    for module in callee.modules:
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if isinstance(
                tensor, nn.UninitializedParameter | nn.parameter.UninitializedBuffer
            ):
                raise InputTypeError(
                    f"Parameter {name!r} of {type(module).__name__} is not initialised "
                    "yet (a lazy module). Call the module on a typical input first."
                )
            if tensor.is_inference():
                raise InputTypeError(
                    f"{name!r} of {type(module).__name__} was made under "
                    "torch.inference_mode() and cannot take part in autograd. Build or "
                    "load the module outside of it."
                )


def _check_tensors(bound: BoundFunction) -> None:
    """Refuse tensors that no method can differentiate.

    Raises:
        InputTypeError: One is on the meta device or is not dense.
    """
    spec = bound.call_spec
    primals = [bound.leaves[slot] for slot in spec.slots]
    if spec.names:
        primals = [parameter_of(bound.module, name) for name in spec.names]
    for leaf, primal in zip(spec.inputs, primals, strict=True):
        if primal.is_meta:
            raise InputTypeError(
                f"{leaf.label} is on the meta device and has no values. Move it to a "
                "real device."
            )
        if primal.layout != torch.strided:
            raise InputTypeError(
                f"{leaf.label} has layout {primal.layout}; expected a dense tensor. "
                "Differentiate its values: rebuild the sparse tensor inside the "
                "function."
            )


def _look(bound: BoundFunction) -> tuple[Output, Tensors]:
    """Run the function on copies of its arguments.

    Returns:
        What it returned, and the batched floating-point inputs its graph leads to,
        with samples along axis 0.

    Raises:
        MutatedInputError: It changed an argument in place.
    """
    tracked: list[Tensor] = []
    leaves: list[Any] = []
    for leaf, dim in zip(bound.leaves, bound.call_spec.dims, strict=True):
        if not isinstance(leaf, Tensor):
            leaves.append(leaf)
        elif dim is not None and leaf.is_floating_point():
            front = leaf.detach().movedim(dim, 0).requires_grad_()
            tracked.append(front)
            leaves.append(front.movedim(0, dim).clone())
        else:
            leaves.append(leaf.detach().clone())
    versions = [_version(leaf) for leaf in leaves]
    seen = bound.run(leaves)
    for leaf, original, before, label in zip(
        leaves, bound.leaves, versions, bound.call_spec.labels, strict=True
    ):
        # By value too: writes past autograd (.data, NumPy) are not counted.
        written = isinstance(leaf, Tensor) and not same_values(leaf, original)
        if _version(leaf) != before or written:
            raise MutatedInputError(
                f"The function changes {label} in place, so it would differ from one "
                "pass to the next. Clone it inside the function first."
            )
    return seen, tuple(tracked)


def _draws(bound: BoundFunction, devices: set[torch.device]) -> bool:
    """Tell whether it is this function that draws from torch's default generators.

    To watch each operator takes longer than a forward pass of small ones.
    """
    with watch_draws(devices) as draws:
        _look(bound)
    return bool(draws.drawn)


def _device(bound: BoundFunction) -> torch.device:
    """Return the device that the call allocates on: that of its inputs."""
    return bound.call_spec.inputs[0].device


def _version(leaf: object) -> int:
    return version_of(leaf) if isinstance(leaf, Tensor) else 0


def _output_leaves(seen: Output, batch_size: int | None) -> tuple[TensorSpec, ...]:
    for output in seen.leaves:
        if batch_size is not None and (
            output.dim() == 0 or output.shape[0] != batch_size
        ):
            raise ArgumentError(
                f"batch_dim was given for {batch_size} samples, so every output must "
                f"have them along axis 0, but one has shape {tuple(output.shape)}. "
                "Return one output a sample, or leave batch_dim out."
            )
    skipped = 0 if batch_size is None else 1
    return tuple(
        TensorSpec(
            f"output {i}" if len(seen.leaves) > 1 else "the output",
            tuple(output.shape[skipped:]),
            output.dtype,
            output.device,
            None if batch_size is None else 0,
        )
        for i, output in enumerate(seen.leaves)
    )


def _coupled(
    bound: BoundFunction,
    seen: Output,
    tracked: Tensors,
    batch_size: int,
    *,
    stochastic: bool,
) -> bool:
    with contextlib.suppress(NotImplementedError):  # it has no reverse mode
        if tracked:
            return coupled_by_vjp(seen.leaves, tracked, batch_size)
    if stochastic:
        # Nothing to pull back to, and another draw each time: claim nothing.
        return True

    def run(index: Tensor) -> Tensors:
        return bound.run(bound.select(index).leaves).leaves

    try:
        return coupled_by_value(seen.leaves, run, batch_size)
    except (RuntimeError, IndexError):  # it takes the whole batch or nothing
        return True


def _coupling_advice(callee: Callee) -> str:
    training = sorted(
        {
            type(module).__name__
            for root in callee.modules
            for module in root.modules()
            if isinstance(module, BatchNorm)
            and (module.training or module.running_mean is None)
        }
    )
    cause = (
        f" {', '.join(training)} normalises over the batch in training mode: call "
        ".eval() on the module first, or"
        if training
        else " Something mixes the batch (a mean over it, attention across it): remove "
        "it, or"
    )
    return (
        "batch_dim says that samples are independent, but a change of one sample's "
        f"input changes another sample's output.{cause} leave batch_dim out to get the "
        "Jacobian of the whole batch."
    )


def _indices(selection: Entries, name: str, count: int) -> Tensor | None:
    """Normalise `rows` or `columns` to indices from 0 to `count - 1`."""
    if selection is None:
        return None
    if isinstance(selection, slice):
        try:
            return torch.tensor(
                range(*selection.indices(count)), dtype=torch.int64, device="cpu"
            )
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"{name}={selection!r}: {error}.") from error
    if not isinstance(selection, Tensor) or selection.dtype not in (
        torch.int64,
        torch.int32,
    ):
        tensor = isinstance(selection, Tensor)
        got = selection.dtype if tensor else kind_of(selection)
        raise ArgumentError(
            f"{name}: expected a slice or a 1-D integer tensor of indices, got {got}. "
            "Turn a mask into indices with mask.nonzero().flatten()."
        )
    if selection.dim() != 1:
        raise ArgumentError(
            f"{name}: expected a 1-D tensor, got shape {tuple(selection.shape)}."
        )
    index = selection.detach().to("cpu", torch.int64)
    wrong = (index < -count) | (index >= count)
    if bool(wrong.any()):
        raise ArgumentError(
            f"{name}: index {int(index[wrong][0])} is out of range for {count} entries."
        )
    return torch.where(index < 0, index + count, index)
