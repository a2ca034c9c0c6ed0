"""The user's function at one set of arguments, as a function of its primals alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from jacengine import pytrees
from jacengine._torch_private import parameter_of
from jacengine._torchfunc import Tensors, call_with_parameters, vmap
from jacengine.errors import (
    InputTypeError,
    OutputTypeError,
    PlanMismatchError,
    container_advice,
    kind_of,
)
from jacengine.problem.call_spec import COMPLEX_ADVICE, CallSpec
from jacengine.problem.callee import Callee
from jacengine.problem.gradient import GradientMode, compute_gradient, join_inputs
from jacengine.problem.nesting import EVALUATIONS
from jacengine.problem.random_draws import watch_draws


@dataclass(frozen=True)
class Output:
    """What one evaluation returned."""

    leaves: Tensors
    structure: pytrees.Structure
    aux: Any


@dataclass(frozen=True)
class ExpectedOutputs:
    """What the outputs of a function must be like, as far as a method rests on it.

    Attributes:
        structure: How they nest.
        specs: The shape (of one sample) and dtype of each.
    """

    structure: pytrees.Structure
    specs: tuple[tuple[torch.Size, torch.dtype], ...]

    def check(
        self, outputs: Sequence[Tensor], structure: pytrees.Structure, size: int | None
    ) -> None:
        """Compare the outputs of an evaluation.

        Raises:
            PlanMismatchError: They are others.
        """
        skipped = 0 if size is None else 1
        got = tuple((output.shape[skipped:], output.dtype) for output in outputs)
        counts = {output.shape[:skipped] for output in outputs}
        samples = torch.Size(() if size is None else (size,))
        if got != self.specs or counts != {samples} or structure != self.structure:
            expected = [f"{(*samples, *shape)} {dtype}" for shape, dtype in self.specs]
            found = [f"{tuple(output.shape)} {output.dtype}" for output in outputs]
            raise PlanMismatchError(
                "The function returns something else than it did when it was analyzed: "
                f"expected {', '.join(expected)}, nested as {self.structure.spec}; got "
                f"{', '.join(found)}, nested as {structure.spec}. Make a plan for "
                "these arguments, or call jacengine.auto(...), which does."
            )


@dataclass(frozen=True)
class BoundFunction:
    """A function with its arguments bound and its primals left open.

    Samples are along axis 0 of every batched primal and of every output, whatever axis
    the user has them along.

    Attributes:
        fn: The user's function or module, or a copy of it.
        callee: The user's function, and what it can be seen to use.
        call_spec: What of it is differentiated.
        leaves: The argument leaves; the primals' places are overwritten.
        has_aux: Whether `fn` returns `(out, aux)`.
        reset: Called before each evaluation, so that all see the same random numbers
            and buffers.
        gradient: How the function's gradient is computed, if that is what is
            differentiated.
        joined: Whether the gradients by all inputs are joined along one axis.
        expected: What the function returned when it was analyzed.
        observer: Called with the outputs of each evaluation.
    """

    fn: Callable[..., Any]
    callee: Callee
    call_spec: CallSpec
    leaves: tuple[Any, ...]
    has_aux: bool = False
    reset: Callable[[], None] | None = None
    gradient: GradientMode | None = None
    joined: bool = False
    expected: ExpectedOutputs | None = None
    observer: Callable[[Sequence[Tensor]], None] | None = None

    def __call__(self, *primals: Tensor) -> Tensors:
        """Return the output tensors at these primals, or their gradient.

        Raises:
            OutputTypeError: The function returned something other than real
                floating-point tensors.
        """
        if self.gradient is None:
            return self._evaluate(*primals)
        plain = self.of_values()
        found = compute_gradient(
            plain, primals, self.gradient, self.call_spec, plain.over_samples
        )
        return join_inputs(found, self.call_spec.inputs) if self.joined else found

    def of_values(self) -> BoundFunction:
        """Return the function itself, if this is its gradient."""
        return replace(self, gradient=None)

    def draws(self) -> bool:
        """Tell whether the user's function draws random numbers, by calling it."""
        plain = replace(self, fn=self.callee.fn)
        with watch_draws() as draws:
            plain(*plain.primals(connected=False))
        return bool(draws.drawn)

    def _evaluate(self, *primals: Tensor) -> Tensors:
        if self.reset is not None:
            self.reset()
        spec = self.call_spec
        if spec.names:
            parameters = dict(zip(spec.names, primals, strict=True))
            replaced = any(
                value is not parameter_of(self.module, name)
                for name, value in parameters.items()
            )
            return self.run(self.leaves, parameters if replaced else None).leaves
        leaves = list(self.leaves)
        for slot, input_spec, primal in zip(
            spec.slots, spec.inputs, primals, strict=True
        ):
            leaves[slot] = _from_front(primal, input_spec.batch_dim)
        return self.run(leaves).leaves

    def run(
        self, leaves: Sequence[Any], parameters: Mapping[str, Tensor] | None = None
    ) -> Output:
        """Call the function on these argument leaves, with these parameters replaced.

        Raises:
            InputTypeError: It uses a tensor that autograd refuses.
            OutputTypeError: It returned something other than real floating-point
                tensors.
            RuntimeError: What the function itself raises.
        """
        args, kwargs = self.call_spec.structure.unflatten(leaves)
        EVALUATIONS.depth += 1
        try:
            if parameters is None:
                returned = self.fn(*args, **kwargs)
            else:
                returned = call_with_parameters(self.module, parameters, args, kwargs)
        except RuntimeError as error:
            if "Inference tensors cannot be saved" not in str(error):
                raise
            raise InputTypeError(
                "The function uses a tensor that was made under torch.inference_mode() "
                "and cannot take part in autograd. Make it outside of it, or clone it."
            ) from error
        finally:
            EVALUATIONS.depth -= 1
        aux = None
        if self.has_aux:
            if not isinstance(returned, tuple) or len(returned) != 2:
                raise OutputTypeError(
                    "has_aux=True expects the function to return (out, aux), got "
                    f"{kind_of(returned)}."
                )
            returned, aux = returned
        outputs, structure = pytrees.flatten(returned)
        _check_outputs(outputs)
        if self.expected is not None:
            self.expected.check(
                outputs, structure, self.call_spec.count_samples(leaves)
            )
        if self.observer is not None:
            self.observer(outputs)
        return Output(tuple(outputs), structure, aux)

    @property
    def module(self) -> nn.Module:
        """The function, which is a module."""
        assert isinstance(self.fn, nn.Module)
        return self.fn

    def primals(self, *, connected: bool) -> Tensors:
        """Return the values to differentiate at.

        Args:
            connected: Keep them in the user's autograd graph (for `create_graph`).
        """
        spec = self.call_spec
        if spec.names:
            found: list[Tensor] = [
                parameter_of(self.module, name) for name in spec.names
            ]
        else:
            found = [
                _to_front(self.leaves[slot], input_spec.batch_dim)
                for slot, input_spec in zip(spec.slots, spec.inputs, strict=True)
            ]
        if connected:
            return tuple(found)
        return tuple(_own_memory(_ordinary(tensor).detach()) for tensor in found)

    def own_parameters(self) -> Tensors | None:
        """Return the parameters themselves, if those are the primals and record.

        A graph that begins at them shows every use of them, also by another road than
        their registration: a list of parameters, a closure, a hook. At other values
        the function is called with the registered parameters replaced.
        """
        own = self.parameters()
        return own if own and all(p.requires_grad for p in own) else None

    def tracked(self) -> Tensors:
        """Return the primals as starting points of a graph for plain autograd."""
        return self.own_parameters() or tuple(
            p.requires_grad_() for p in self.primals(connected=False)
        )

    def parameters(self) -> Tensors:
        """Look the parameters that are differentiated up; none, if inputs are."""
        return tuple(parameter_of(self.module, name) for name in self.call_spec.names)

    def at(self, leaves: Sequence[Any]) -> BoundFunction:
        """Return the call with other argument leaves."""
        return replace(self, leaves=tuple(leaves))

    def samples(self, start: int, stop: int) -> BoundFunction:
        """Return the call on a range of the samples."""
        return self._map_side(lambda leaf: leaf[start:stop])

    def copies(self, count: int) -> BoundFunction:
        """Return the call on the batch repeated, as one batch of `count * B`."""
        return self._map_side(
            lambda leaf: leaf.expand(count, *leaf.shape).flatten(0, 1)
        )

    def per_sample(self) -> Callable[..., Tensors]:
        """Return a function that gives every sample its own primals.

        Returns:
            A function of primals `(B, *leaf)`, shared inputs included, to outputs
            `(B, *out)`: `fn` under vmap, on batches of one.
        """

        def one(primals: Tensors, side: list[Tensor]) -> Tensors:
            return self._one_sample(primals, side)

        return lambda *primals: vmap(one)(primals, self._batched_leaves())

    def over_samples(
        self,
        body: Callable[[Callable[..., Tensors], Tensors, Tensors], Tensors],
        primals: Tensors,
        seeds: Tensors,
    ) -> Tensors:
        """Run a computation for each sample, all of them at once under vmap.

        Args:
            body: Takes a function of one sample's primals, these primals (shared ones
                are not copied), and one sample's seeds; returns tensors.
            primals: Of the whole batch.
            seeds: `(K, B, ...)`.

        Returns:
            What `body` returned, with samples along axis 0.
        """

        def one(own: Tensors, side: list[Tensor], seed: Tensors) -> Tensors:
            return body(lambda *p: self._one_sample(p, side), own, seed)

        own = tuple(None if q.batch_dim is None else 0 for q in self.call_spec.inputs)
        found: Tensors = vmap(one, (own, 0, 1))(primals, self._batched_leaves(), seeds)
        return found

    def _batched_leaves(self) -> list[Tensor]:
        """List the arguments that have an axis of samples, with it in front."""
        dims = self.call_spec.dims
        pairs = zip(self.leaves, dims, strict=True)
        return [_to_front(leaf, dim) for leaf, dim in pairs if dim is not None]

    def _one_sample(self, primals: Sequence[Tensor], side: list[Tensor]) -> Tensors:
        """Run the function on one sample, as a batch of one."""
        spec, leaves = self.call_spec, list(self.leaves)
        batched = [i for i, dim in enumerate(spec.dims) if dim is not None]
        for i, tensor in zip(batched, side, strict=True):
            leaves[i] = _from_front(tensor.unsqueeze(0), spec.dims[i])
        inputs = zip(spec.inputs, primals, strict=True)
        single = [p if q.batch_dim is None else p.unsqueeze(0) for q, p in inputs]
        outputs = self.at(leaves)(*single)
        return tuple(output.squeeze(0) for output in outputs)

    def select(self, index: Tensor) -> BoundFunction:
        """Return the call on the samples with these indices."""
        return self._map_side(lambda leaf: leaf[index.to(leaf.device)])

    def _map_side(self, change: Callable[[Tensor], Tensor]) -> BoundFunction:
        leaves = [
            leaf if dim is None else _from_front(change(_to_front(leaf, dim)), dim)
            for leaf, dim in zip(self.leaves, self.call_spec.dims, strict=True)
        ]
        return self.at(leaves)


def bind(
    callee: Callee,
    call_spec: CallSpec,
    leaves: Sequence[Any],
    *,
    has_aux: bool,
    gradient: GradientMode | None = None,
    joined: bool = False,
    expected: ExpectedOutputs | None = None,
) -> BoundFunction:
    """Bind flattened arguments to the spec that describes them."""
    ordinary = tuple(map(_ordinary, leaves))
    return BoundFunction(
        callee.fn,
        callee,
        call_spec,
        ordinary,
        has_aux,
        gradient=gradient,
        joined=joined,
        expected=expected,
    )


def _ordinary(leaf: Any) -> Any:
    """Copy an inference tensor, which autograd refuses, into an ordinary one."""
    if isinstance(leaf, Tensor) and leaf.is_inference():
        with torch.inference_mode(mode=False):
            return leaf.clone()
    return leaf


def _own_memory(tensor: Tensor) -> Tensor:
    """Copy a tensor whose entries share memory: forward mode writes to each of them."""
    if tensor.is_contiguous():
        return tensor
    reach = 0
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1:
            if stride <= reach:
                return tensor.contiguous()
            reach += stride * (size - 1)
    return tensor


def _to_front(tensor: Tensor, dim: int | None) -> Tensor:
    return tensor.movedim(dim, 0) if dim else tensor


def _from_front(tensor: Tensor, dim: int | None) -> Tensor:
    return tensor.movedim(0, dim) if dim else tensor


def _check_outputs(outputs: list[Any]) -> None:
    if not outputs:
        raise OutputTypeError("The function returned no tensor (an empty container).")
    for output in outputs:
        if not isinstance(output, Tensor):
            raise OutputTypeError(
                f"The function returned {kind_of(output)}; expected tensors, or "
                "containers of tensors. Return (out, aux) and pass has_aux=True to "
                f"return something beside them.{container_advice(output)}"
            )
        if output.dtype.is_complex:
            raise OutputTypeError(
                f"The function returned a complex tensor ({output.dtype}). "
                f"{COMPLEX_ADVICE}"
            )
        if not output.dtype.is_floating_point:
            raise OutputTypeError(
                f"The function returned a tensor of {output.dtype}, which has no "
                "derivative; expected a floating-point tensor. Return (out, aux) and "
                "pass has_aux=True to return it beside the output."
            )
        if output.layout != torch.strided:
            raise OutputTypeError(
                f"The function returned a tensor of layout {output.layout}; expected a "
                "dense one. Return out.to_dense()."
            )
