"""What is differentiated: which leaves of a call, and which axis is of samples.

A `CallSpec` is made from one call's arguments and holds none of their values, so a plan
can keep it and bind other arguments of the same signature to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jacengine import pytrees
from jacengine.errors import (
    ArgumentError,
    InputTypeError,
    container_advice,
    kind_of,
    nearest,
    to_tensor_advice,
)
from jacengine.problem.batch_dims import BatchDim, axes_of_samples, sample_count

Wrt = int | tuple[int, ...] | list[str] | str

COMPLEX_ADVICE = (
    "By default jacengine differentiates real functions of real tensors. "
    "jacengine.auto, jacobian, plan, hessian, blocks and operator take "
    "complex='as_real', which views complex tensors as pairs of real numbers; where "
    "the function is holomorphic, all but operator take complex='holomorphic', which "
    "gives a complex Jacobian."
)
"""What to do about complex tensors."""


@dataclass(frozen=True)
class TensorSpec:
    """A tensor that is differentiated, or one that comes out.

    Attributes:
        label: Its position: `args[0]['x']`, a parameter's name, `output`.
        shape: Its shape, of one sample where samples have an axis.
        dtype: Its dtype.
        device: Its device.
        batch_dim: The axis of samples in the user's tensor; `None` when all samples
            share it.
    """

    label: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    batch_dim: int | None = None

    @property
    def size(self) -> int:
        """The number of entries (of one sample)."""
        return torch.Size(self.shape).numel()


@dataclass(frozen=True)
class CallSpec:
    """The static side of a call.

    Attributes:
        structure: How the leaves of `(args, kwargs)` nest.
        labels: The position of each of those leaves, for messages.
        dims: The axis of samples of each of those leaves.
        inputs: What is differentiated, in order.
        slots: The index of each input among the argument leaves; empty for parameters.
        names: The parameter name of each input; empty for arguments.
        nesting: How the inputs nest in the result ...
        places: ... and the input at each of its leaves (`None`: a side input).
        batch_size: The number of samples, `None` without `batch_dim`.
    """

    structure: pytrees.Structure
    labels: tuple[str, ...]
    dims: tuple[int | None, ...]
    inputs: tuple[TensorSpec, ...]
    slots: tuple[int, ...]
    names: tuple[str, ...]
    nesting: pytrees.Structure
    places: tuple[int | None, ...]
    batch_size: int | None

    def count_samples(self, leaves: Sequence[Any]) -> int | None:
        """Count the samples in argument leaves, by the first that has any."""
        for leaf, dim in zip(leaves, self.dims, strict=False):
            if dim is not None and isinstance(leaf, Tensor) and leaf.dim() > dim:
                return int(leaf.shape[dim])
        return None

    @property
    def shared(self) -> bool:
        """Whether some input is shared by all samples."""
        return self.batch_size is not None and any(
            leaf.batch_dim is None for leaf in self.inputs
        )


def describe_call(
    fn: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wrt: Wrt,
    batch_dim: BatchDim,
) -> CallSpec:
    """Find out what a call differentiates.

    Raises:
        ArgumentError: `wrt` or `batch_dim` does not fit the arguments.
        InputTypeError: What is to be differentiated is not a real floating-point
            tensor.
    """
    per_argument = [pytrees.flatten(argument)[0] for argument in args]
    leaves, structure = pytrees.flatten_call(args, kwargs)
    labels = tuple(argument_labels(args, kwargs))
    _reject_unfit(leaves, labels)
    dims = axes_of_samples(per_argument, leaves, batch_dim)
    batch_size = sample_count(leaves, labels, dims) if batch_dim is not None else None
    offsets = _offsets([len(inner) for inner in per_argument])
    if wrt == "params" or isinstance(wrt, list):
        inputs, names, nesting, places = parameters_of(fn, wrt)
        _reject_complex_parameters(inputs)
        slots: tuple[int, ...] = ()
    else:
        chosen = chosen_arguments(wrt, per_argument)
        picked, nesting = _nesting(wrt, args, chosen)
        positions = [
            offsets[i] + j for i in picked for j in range(len(per_argument[i]))
        ]
        slots = tuple(p for p in positions if _is_float(leaves[p]))
        places = tuple(slots.index(p) if p in slots else None for p in positions)
        for i in picked:
            _require_floating(i, per_argument[i])
        inputs = tuple(_leaf(labels[p], leaves[p], dims[p]) for p in slots)
        names = ()
    return CallSpec(
        structure, labels, dims, inputs, slots, names, nesting, places, batch_size
    )


def _leaf(label: str, tensor: Tensor, dim: int | None) -> TensorSpec:
    shape = tuple(size for axis, size in enumerate(tensor.shape) if axis != dim)
    return TensorSpec(label, shape, tensor.dtype, tensor.device, dim)


def _label(path: str) -> str:
    """Turn a path in `(args, kwargs)` into the caller's own words."""
    for prefix, word in (("[0]", "args"), ("[1]", "kwargs")):
        if path.startswith(prefix):
            return word + path.removeprefix(prefix)
    return path


def _offsets(sizes: Sequence[int]) -> list[int]:
    return [sum(sizes[:i]) for i in range(len(sizes))]


def _is_float(leaf: object) -> bool:
    if not isinstance(leaf, Tensor):
        return False
    return leaf.is_floating_point() or leaf.is_complex()


def argument_labels(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[str]:
    """Name each leaf of a call in the caller's words: `args[0]['x']`."""
    return [_label(path) for path in pytrees.paths((args, dict(kwargs)))]


def _reject_unfit(leaves: Sequence[Any], labels: Sequence[str]) -> None:
    for leaf, label in zip(leaves, labels, strict=True):
        if isinstance(leaf, Tensor) and leaf.is_complex():
            raise InputTypeError(
                f"{label} is a complex tensor ({leaf.dtype}). {COMPLEX_ADVICE}"
            )


def _reject_complex_parameters(inputs: Sequence[TensorSpec]) -> None:
    for spec in inputs:
        if spec.dtype.is_complex:
            raise InputTypeError(
                f"Parameter {spec.label!r} is complex ({spec.dtype}). {COMPLEX_ADVICE}"
            )


def chosen_arguments(wrt: object, per_argument: list[list[Any]]) -> tuple[int, ...]:
    """Find the positional arguments that `wrt` names, of which leaves are given.

    Raises:
        ArgumentError: It names none, or one that is not there.
        InputTypeError: There is no floating-point argument.
    """
    count = len(per_argument)
    if count == 0:
        raise ArgumentError(
            f"wrt={wrt!r} differentiates a positional argument, but none was given. "
            "Pass the arguments after the function; keyword arguments are side inputs."
        )
    if wrt == "inputs":
        chosen = tuple(i for i in range(count) if any(map(_is_float, per_argument[i])))
        leaves = [leaf for inner in per_argument for leaf in inner]
        if not chosen:
            raise InputTypeError(
                'wrt="inputs" takes all floating-point positional arguments, but there '
                f"are none among the {count} given.{_advice(leaves)}"
            )
        return chosen
    if isinstance(wrt, str):
        raise ArgumentError(
            f"wrt={wrt!r} is not known; expected an argument index, a tuple of them, "
            f'"inputs", "params", or a list of parameter names.'
            f"{nearest(wrt, ('inputs', 'params'))}"
        )
    indices: tuple[Any, ...] = wrt if isinstance(wrt, tuple) else (wrt,)
    if not indices:
        raise ArgumentError("wrt=() names nothing to differentiate.")
    for index in indices:
        if isinstance(index, bool) or not isinstance(index, int):
            raise ArgumentError(
                f"wrt={wrt!r}: expected argument indices (int), got {kind_of(index)}."
            )
        if not -count <= index < count:
            raise ArgumentError(
                f"wrt={wrt!r}: the call has {count} positional argument(s), so an "
                f"index is between {-count} and {count - 1}."
            )
    normal = tuple(index % count for index in indices)
    if len(set(normal)) != len(normal):
        raise ArgumentError(f"wrt={wrt!r} names an argument twice.")
    return normal


def _nesting(
    wrt: object, args: tuple[Any, ...], chosen: tuple[int, ...]
) -> tuple[tuple[int, ...], pytrees.Structure]:
    bare = isinstance(wrt, int) or (wrt == "inputs" and len(chosen) == 1)
    tree = args[chosen[0]] if bare else tuple(args[i] for i in chosen)
    return chosen, pytrees.flatten(tree)[1]


def _require_floating(index: int, leaves: list[Any]) -> None:
    if any(map(_is_float, leaves)):
        return
    kinds = [
        str(leaf.dtype) if isinstance(leaf, Tensor) else kind_of(leaf)
        for leaf in leaves
    ]
    got = ", ".join(dict.fromkeys(kinds)) or "an empty container"
    raise InputTypeError(
        f"args[{index}] cannot be differentiated: expected a floating-point tensor, got"
        f" {got}.{_advice(leaves)} To differentiate another argument, name it "
        "with wrt=."
    )


def _advice(leaves: list[Any]) -> str:
    """Say how to differentiate what cannot be; nothing, if there is nothing to say."""
    if any(isinstance(leaf, Tensor) for leaf in leaves):
        return (
            " Convert it with .to(torch.float32). If it holds indices, such as token "
            "ids, differentiate by the embeddings: pass embedding(ids) to a function "
            "of those."
        )
    found = (to_tensor_advice(leaf) + container_advice(leaf) for leaf in leaves)
    return next(filter(None, found), "")


def parameters_of(
    fn: Any, wrt: object
) -> tuple[
    tuple[TensorSpec, ...], tuple[str, ...], pytrees.Structure, tuple[int | None, ...]
]:
    """Find the parameters that `wrt` names.

    Returns:
        The parameters, tied ones once; their names; how all requested names nest, and
        the parameter at each of them.

    Raises:
        ArgumentError: It is no module, or has no parameter of such a name.
        InputTypeError: There is no parameter.
    """
    if not isinstance(fn, nn.Module):
        raise ArgumentError(
            f"wrt={wrt!r} differentiates the parameters of an nn.Module, but fn is "
            f"{kind_of(fn)}. Pass the module itself, or pass the tensors as arguments "
            "and name them with wrt=0."
        )
    every = dict(fn.named_parameters(remove_duplicate=False))
    if isinstance(wrt, list):
        wanted = [_known_parameter(name, every) for name in wrt]
    else:
        wanted = [n for n, p in fn.named_parameters() if p.requires_grad]
    if not wanted:
        raise InputTypeError(
            f"wrt={wrt!r}: the module has no parameter to differentiate (those with "
            "requires_grad=False are left out of 'params'; name them in a list)."
        )
    wanted = list(dict.fromkeys(wanted))
    first = {id(every[name]): name for name in reversed(wanted)}
    names = tuple(dict.fromkeys(first[id(every[name])] for name in wanted))
    places = tuple(names.index(first[id(every[name])]) for name in wanted)
    nesting = pytrees.flatten(dict.fromkeys(wanted, 0))[1]
    inputs = tuple(_leaf(name, every[name], None) for name in names)
    return inputs, names, nesting, places


def _known_parameter(name: object, every: Mapping[str, Any]) -> str:
    if isinstance(name, str) and name in every:
        return name
    raise ArgumentError(
        f"wrt names the parameter {name!r}, which the module does not have."
        f"{nearest(str(name), every)} It has: {', '.join(sorted(every)) or 'none'}."
    )
