"""The few internals of torch that the engine needs and that have no public name.

Everything private that is touched anywhere is touched here, so that a new release of
torch is checked in one place.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import MethodType
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch._C import _functorch as functorch  # pyright: ignore[reportAttributeAccessIssue]
from torch._C._autograd import (
    _disable_profiler_legacy,
    _enable_profiler_legacy,
    _profiler_enabled,
)
from torch._C._profiler import ProfilerConfig, ProfilerState, _ExperimentalConfig
from torch._functorch import eager_transforms
from torch._functorch import vmap as functorch_vmap
from torch._subclasses.fake_tensor import FakeTensor as FakeTensor
from torch._subclasses.fake_tensor import FakeTensorMode as FakeTensorMode
from torch.autograd import forward_ad, graph
from torch.nn.modules import batchnorm, conv
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode

# pyright: reportPrivateUsage=false

pytree = _pytree
"""Nested containers of tensors."""
BatchNorm = batchnorm._BatchNorm
"""The base of all batch normalisations."""
ConvNd = conv._ConvNd
"""The base of all convolutions."""
ConvTransposeNd = conv._ConvTransposeNd
"""The base of all transposed convolutions."""


set_grad_enabled = torch._C._set_grad_enabled
"""Sets the gradient mode, as `torch.set_grad_enabled`, which is a context besides."""


def padding_of(layer: ConvNd) -> list[int]:
    """Return the padding of a convolution, as `torch.nn.functional.pad` takes it."""
    return layer._reversed_padding_repeated_twice


def buffers_of(module: nn.Module) -> dict[str, Tensor | None]:
    """Return a module's own buffers, to read and to put back."""
    return module._buffers


def parameters_of(module: nn.Module) -> dict[str, nn.Parameter | None]:
    """Return a module's own parameters."""
    return module._parameters


def parameter_of(module: nn.Module, name: str) -> Tensor:
    """Look a parameter up now: the user may have re-assigned it or its module."""
    *path, last = name.split(".")
    for part in path:
        child = module._modules[part]
        if child is None:
            raise AttributeError(f"the module has no submodule {part!r} any more")
        module = child
    found = module._parameters[last]
    if found is None:
        raise AttributeError(f"the module has no parameter {name!r} any more")
    return found


def put_parameter(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Put a tensor where `parameter_of` finds it, also one that is no `Parameter`.

    Submodules on the way that are not there are made.
    """
    *path, last = name.split(".")
    for part in path:
        child = module._modules.get(part)
        if child is None:
            child = module._modules[part] = nn.Module()
        module = child
    cast("dict[str, Tensor]", module._parameters)[last] = tensor


def is_view_of(tensor: Tensor, base: Tensor) -> bool:
    """Tell whether a tensor views the memory that another has now."""
    same = tensor._base is base and tensor.data_ptr() == base.data_ptr()
    return same and tensor.requires_grad == base.requires_grad


def with_parameters(module: nn.Module, values: Mapping[str, Tensor]) -> nn.Module:
    """Copy a tree of modules, with other tensors in the place of parameters.

    Nothing but the objects is copied: parameters, buffers and hooks are shared. So the
    module itself never holds the other tensors, which another thread would meet there,
    and attributes that its code sets are set on the copy. As
    `torch.func.functional_call` with tied weights, and for modules and parameters that
    are held in plain attributes, lists and bound methods too.
    """
    new = {id(parameter_of(module, name)): value for name, value in values.items()}
    return _ModuleCopies(new).of(module)


def with_own_hooks(module: nn.Module) -> nn.Module:
    """Copy a tree of modules, so that hooks can be added that nobody else meets."""
    return _ModuleCopies({}, own=_ModuleCopies.HOOKS).of(module)


def without_fully_shard(module: nn.Module, values: Mapping[str, Tensor]) -> nn.Module:
    """Copy a tree of modules as it was before `fully_shard`, with whole parameters."""
    from torch.distributed.fsdp import FSDPModule  # noqa: PLC0415 - if there is one

    new = {id(parameter_of(module, name)): value for name, value in values.items()}
    made = _ModuleCopies(new, own=_ModuleCopies.HOOKS).of(module)
    for copy in made.modules():
        for table in (copy._forward_pre_hooks, copy._forward_hooks):
            for number, hook in [*table.items()]:
                # The wrapper's hooks spread parameters again; the user's stay.
                if getattr(hook, "__module__", "").startswith("torch.distributed."):
                    del table[number]
        if isinstance(copy, FSDPModule):
            bases = type(copy).__bases__
            copy.__class__ = next(base for base in bases if base is not FSDPModule)
    return made


OF_EVERY_MODULE = frozenset(vars(nn.Module()))
"""The attributes that every module has."""


def own_attributes(owner: Any) -> dict[str, Any]:
    """Return what an object has besides what every module has."""
    found = vars(owner)
    if not isinstance(owner, nn.Module):
        return dict(found)
    return {name: found[name] for name in found.keys() - OF_EVERY_MODULE}


def is_own_attribute(name: str) -> bool:
    """Tell whether an attribute is not one that every module has."""
    return name not in OF_EVERY_MODULE


def forward_hooks_of(module: nn.Module) -> list[Any]:
    """List the hooks that take part in a module's forward pass."""
    return [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]


class _ModuleCopies:
    """Copies of modules that share everything but some tensors.

    A class and not two functions that call each other, which would be a reference
    cycle for each call.
    """

    HOOKS = (
        "_forward_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_forward_pre_hooks",
        "_forward_pre_hooks_with_kwargs",
    )
    """Those that hooks are registered in."""
    DEPTH, LONGEST = 3, 1000
    """Containers that are copied, with what is in them: so many inside each other, of
    so many entries at most."""

    def __init__(self, new: Mapping[int, Tensor], own: Sequence[str] = ()) -> None:
        self._new = new
        self._own = ("_buffers", *own)
        self._copies: dict[int, nn.Module] = {}

    def of(self, module: nn.Module) -> nn.Module:
        known = self._copies.get(id(module))
        if known is not None:
            return known
        copy = self._copies[id(module)] = object.__new__(type(module))
        own, new = vars(copy), self._new
        own.update(vars(module))
        parameters = module._parameters.items()
        own["_parameters"] = {name: new.get(id(p), p) for name, p in parameters}
        for name in self._own:
            own[name] = own[name].copy()
        own["_modules"] = {
            name: None if child is None else self.of(child)
            for name, child in module._modules.items()
        }
        for name in own.keys() - OF_EVERY_MODULE:
            own[name] = self._inside(own[name], self.DEPTH)
        return copy

    def _inside(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in {dict, list, tuple} and depth and len(value) <= self.LONGEST:
            if kind is dict:
                pairs = value.items()
                return {name: self._inside(held, depth - 1) for name, held in pairs}
            return kind(self._inside(held, depth - 1) for held in value)
        if isinstance(value, nn.Module):
            return self.of(value)
        if kind is MethodType and isinstance(value.__self__, nn.Module):
            return MethodType(value.__func__, self.of(value.__self__))
        return self._new.get(id(value), value)


def training_flags(roots: Iterable[nn.Module]) -> tuple[bool, ...]:
    """List the training flags of modules and all their submodules, as they are now."""
    flags: list[bool] = []
    waiting = [*roots]
    while waiting:
        module = waiting.pop()
        flags.append(module.training)
        waiting += [child for child in module._modules.values() if child is not None]
    return tuple(flags)


def parameter_numbers(module: nn.Module) -> tuple[int, ...]:
    """Return the number of each parameter of a module in order, tied ones alike.

    Called at every call of a plan: see `tensors_of`.
    """
    numbers: dict[int, int] = {}
    found: list[int] = []
    waiting = [module]
    while waiting:
        inside = waiting.pop()
        for parameter in inside._parameters.values():
            if parameter is not None:
                found.append(numbers.setdefault(id(parameter), len(numbers)))
        waiting += [child for child in inside._modules.values() if child is not None]
    return tuple(found)


def tensors_of(roots: Iterable[nn.Module]) -> list[Tensor]:
    """List the parameters and buffers of modules, some of them more than once.

    Called at every call of a plan, so not by `Module.parameters()`, which takes 50 us.
    """
    found: list[Tensor | None] = []
    waiting = [*roots]
    while waiting:
        module = waiting.pop()
        found += module._parameters.values()
        found += module._buffers.values()
        waiting += [child for child in module._modules.values() if child is not None]
    return [tensor for tensor in found if tensor is not None]


def hooks_of(module: nn.Module) -> tuple[dict[int, Any], ...]:
    """Return the hooks of a module that may change what comes out of it."""
    return (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )


def dictionaries_of(module: nn.Module) -> tuple[dict[Any, Any], ...]:
    """Return every dictionary that says what a module of its own does."""
    found: tuple[dict[Any, Any], ...] = (
        vars(module),
        module._parameters,
        module._buffers,
        module._modules,
        *hooks_of(module),
    )
    return found


def changes_gradients(module: nn.Module) -> bool:
    """Tell whether a hook in a module may change what its backward pass gives."""
    return any(
        inside._backward_hooks or inside._backward_pre_hooks
        for inside in module.modules()
    )


def version_of(tensor: Tensor) -> int:
    """Return how often a tensor was written in place; -1 for inference tensors."""
    return -1 if tensor.is_inference() else tensor._version


def components_of(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return the dense tensors that a tensor of any layout consists of."""
    if tensor.layout == torch.strided:
        return (tensor,)
    if tensor.layout == torch.sparse_coo:
        return (tensor._indices(), tensor._values())
    if tensor.layout in {torch.sparse_csr, torch.sparse_bsr}:
        return (tensor.crow_indices(), tensor.col_indices(), tensor.values())
    if tensor.layout in {torch.sparse_csc, torch.sparse_bsc}:
        return (tensor.ccol_indices(), tensor.row_indices(), tensor.values())
    return (tensor.to_dense(),)


def set_version(tensor: Tensor, version: int) -> None:
    """Set how often a tensor was written in place, after its values were put back."""
    if version < 0:
        return
    counter: Any = torch._C._autograd._unsafe_set_version_counter  # pyright: ignore[reportAttributeAccessIssue]
    try:
        counter((tensor,), (version,))
    except TypeError:  # before torch 2.7
        counter(tensor, version)


def tensor_hooks(tensor: Tensor) -> dict[int, Any]:
    """Return the hooks on a tensor's gradient; a copy, if there are none."""
    found = tensor._backward_hooks
    return {} if found is None else found


def set_onednn(enabled: bool) -> None:
    """Switch the kernels of oneDNN on or off."""
    torch._C._set_mkldnn_enabled(enabled)


def without_storage(tensor: Tensor) -> bool:
    """Tell whether a tensor is one of the zeros that torch keeps no memory for."""
    return tensor._is_zerotensor()


def address_of(tensor: Tensor) -> int | None:
    """Return where the memory of a tensor begins; `None` if it has none of its own."""
    with suppress(RuntimeError, NotImplementedError):  # sparse tensors, subclasses
        return tensor.untyped_storage().data_ptr()
    return None


def profiler_is_active() -> bool:
    """Tell whether a profiler of torch records this thread."""
    return bool(_profiler_enabled())


def record_allocations() -> None:
    """Record what is allocated and freed on this thread, on CPU."""
    config = ProfilerConfig(
        ProfilerState.CPU,
        False,
        True,  # memory
        False,
        False,
        False,
        _ExperimentalConfig(),
    )
    _enable_profiler_legacy(config)


def recorded_allocations() -> list[int]:
    """End the record; return the bytes of each allocation, negative where freed."""
    threads: list[list[Any]] = _disable_profiler_legacy()
    events = itertools.chain.from_iterable(threads)
    return [e.cpu_memory_usage() for e in events if e.kind() == "memory_alloc"]


def storage_key(storage: torch.UntypedStorage) -> int:
    """Identify a storage while it lives."""
    return int(storage._cdata)


def holders(storages: Sequence[torch.UntypedStorage], i: int) -> tuple[int, int]:
    """Count who holds one of some storages: in Python, and inside torch.

    Tensors, with whatever holds those (arrays, graphs), count inside torch; who has the
    storage's own Python object counts in Python alone.
    """
    storage = storages[i]
    return sys.getrefcount(storage), int(torch._C._storage_Use_Count(storage._cdata))


def in_forward_mode() -> bool:
    """Tell whether a level of forward-mode AD is entered."""
    return forward_ad._current_level >= 0


def is_wrapped(tensor: Tensor) -> bool:
    """Tell whether a tensor belongs to a `torch.func` transform or is a dual number."""
    if functorch.is_functorch_wrapped_tensor(tensor):
        return True
    return in_forward_mode() and forward_ad.unpack_dual(tensor).tangent is not None


def unwrapped(tensor: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Return the tensor inside of the wrappers of `torch.func` transforms.

    Returns:
        The tensor, and its axes that vmap hides, the outermost first: each in the shape
        without those before it.
    """
    axes: list[int] = []
    while functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            axes.insert(0, int(functorch.maybe_get_bdim(tensor)))
        tensor = functorch.get_unwrapped(tensor)
    return tensor, tuple(axes)


def transform_depth() -> int:
    """Return how many levels of `torch.func` transforms are entered."""
    return int(functorch.get_dynamic_layer_stack_depth())


def vmap_tensors(function: Callable[..., Any], tensors: Sequence[Tensor]) -> Any:
    """Call a function on tensors with an axis 0 that it does not see.

    As `torch.func.vmap(function, randomness="same")` of tensors does, without looking
    for trees in the arguments, which takes ten times as long as the rest.

    Args:
        function: Takes one tensor for each of `tensors`.
        tensors: At least one; all have the same size along axis 0.
    """
    size = tensors[0].shape[0]
    functorch_vmap.lazy_load_decompositions()  # type: ignore[attr-defined]
    level = functorch._vmap_increment_nesting(size, "same")
    try:
        found = function(*[functorch._add_batch_dim(t, 0, level) for t in tensors])
        return _without_axis(found, level, size)
    finally:
        functorch._vmap_decrement_nesting()


def _without_axis(found: Any, level: int, size: int) -> Any:
    if isinstance(found, Tensor):
        return functorch._remove_batch_dim(found, level, size, 0)
    if type(found) is tuple:
        return tuple([_without_axis(each, level, size) for each in found])
    return pytree.tree_map(lambda each: _without_axis(each, level, size), found)


_add_axis = torch._add_batch_dim  # pyright: ignore[reportPrivateImportUsage]
_drop_axis = torch._remove_batch_dim  # pyright: ignore[reportPrivateImportUsage]


def grad_of_directions(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor | graph.GradientEdge],
    cotangents: Sequence[Tensor],
    *,
    create_graph: bool,
) -> tuple[Tensor | None, ...]:
    """Pull cotangents with a leading axis of directions back through a graph.

    As `torch.autograd.grad(is_grads_batched=True, retain_graph=True,
    allow_unused=True)` does, without looking for trees in its arguments and comparing
    symbolic shapes, which takes longer than a small graph.
    """
    level = torch._C._vmapmode_increment_nesting()
    try:
        run = cast(
            "Callable[..., tuple[Tensor | None, ...]]", graph._engine_run_backward
        )
        found = run(
            tuple(outputs),
            tuple([_add_axis(c, 0, level) for c in cotangents]),
            True,
            create_graph,
            tuple(inputs),
            True,
            accumulate_grad=False,
        )
        size = cotangents[0].shape[0]
        return tuple([g if g is None else _drop_axis(g, level, size, 0) for g in found])
    finally:
        torch._C._vmapmode_decrement_nesting()


def leave_transforms(depth: int) -> None:
    """Leave levels of `torch.func` transforms that an interruption has left entered.

    Args:
        depth: The number of levels to keep.
    """
    if transform_depth() > depth:
        functorch.pop_dynamic_layer_stack_and_undo_to_depth(depth)


def leave_forward_mode() -> None:
    """Leave forward mode, which an interruption has left entered, or half of it.

    What interrupts a run while a level is being exited leaves torch with one count of
    levels in Python and another in C++; every later use of forward mode would fail.
    """
    with suppress(RuntimeError):
        torch._C._exit_dual_level(level=0)
    forward_ad._current_level = -1
    eager_transforms.JVP_NESTING = 0


def interruption_of(
    error: BaseException | None, handled: BaseException | None
) -> BaseException | None:
    """Find the interruption that an error hides.

    What interrupts a transform while it is being left makes the transforms around it
    fail, and it is their error that arrives.

    Args:
        error: What arrived.
        handled: The exception that was being handled before; it interrupted nothing.
    """
    while isinstance(error, Exception) and error is not handled:
        # `raise ... from` chose to hide it.
        error = None if error.__suppress_context__ else error.__context__
    return None if error is handled else error


def nodes_made() -> int:
    """Return the number that the next node of the autograd graph will get."""
    return int(torch._C._autograd._get_sequence_nr())  # pyright: ignore[reportAttributeAccessIssue]


def number_of(node: graph.Node) -> int:
    """Return the number that a node of the autograd graph got when it was made."""
    return int(node._sequence_nr())


def made_shape(node: graph.Node) -> tuple[int, ...]:
    """Return the shape of what a node of the autograd graph made."""
    metadata: Any = node._input_metadata[0]
    return tuple(metadata.shape)


def saved(node: graph.Node, name: str) -> Any:
    """Read a value that a node of the autograd graph has saved for its derivative.

    Negative axes and indices are saved as unsigned numbers.
    """
    value = getattr(node, f"_saved_{name}")
    if isinstance(value, (tuple, list)):
        return tuple(map(_signed, value))
    return _signed(value)


def _signed(value: Any) -> Any:
    return value - 2**64 if isinstance(value, int) and value >= 2**63 else value


def axes_of(node: graph.Node) -> tuple[object, ...]:
    """Return the axes that the operator of a node was given, as far as it has any."""
    names = ("_saved_dim", "_saved_dim0", "_saved_dim1", "_saved_dims")
    return tuple(getattr(node, name, None) for name in names)


_Wrapper = TypeVar("_Wrapper", bound=Tensor)


def wrapper_tensor(kind: type[_Wrapper], like: Tensor) -> _Wrapper:
    """Make a tensor of a subclass that has the metadata of another, and no storage."""
    return Tensor._make_wrapper_subclass(
        kind, like.shape, dtype=like.dtype, device=like.device
    )


def store_of(name: str) -> Any:
    """Return a part of the store that the default process group was made with."""
    # If there is one; the import takes long.
    from torch.distributed import distributed_c10d  # noqa: PLC0415

    store = distributed_c10d._get_default_store()
    return distributed_c10d.PrefixStore(name, store)
