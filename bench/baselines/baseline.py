"""Baselines: derivatives as the users of another library compute them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from jacengine.bench import optional_libraries
from jacengine.bench.baselines.pure_function import PureFunction
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.errors import UnsupportedError
from jacengine.interface import Unsupported
from jacengine.problem.quantity import Quantity


@dataclass(frozen=True)
class Prepared:
    """A derivative that is ready to be computed; calling it returns tensors.

    Attributes:
        run: Computes the derivative anew and waits for it. Only this is timed.
        convert: Converts the result of `run` to detached tensors, nested as by
            `jacengine.auto`. It is not timed: users of the library keep its arrays.
    """

    run: Callable[[], Any]
    convert: Callable[[Any], Any] = lambda result: result

    def __call__(self) -> Any:
        """Compute the derivative as tensors."""
        return self.convert(self.run())


Prepare = Callable[[Workload, DerivativeSpec], Prepared]


@dataclass(frozen=True)
class Baseline:
    """A method of another library, called as its users call it when they want speed.

    A baseline is never a candidate of `auto`.

    Attributes:
        name: Its name in tables.
        source: Where the method is documented.
        prepare: Does everything that users do once, and leaves the spec unchanged.
        quantities: The quantities that it computes.
        libraries: The optional libraries that it imports.
        reason_inapplicable: Returns why it does not apply, if so, without running it.
        smoke_test: Whether `check` runs it at the tiny size, because only a run shows
            which operators the library does not support.
        reason_too_large: Returns why its directions, all computed at once, do not fit
            into the memory; `None` if it computes them one by one.
    """

    name: str
    source: str
    prepare: Prepare
    quantities: frozenset[Quantity] = frozenset({"jacobian"})
    libraries: tuple[str, ...] = ()
    reason_inapplicable: Callable[[Workload, DerivativeSpec], str | None] | None = None
    smoke_test: bool = True
    reason_too_large: Callable[[PureFunction], str | None] | None = None

    def missing(self) -> str | None:
        """Return which of its libraries is not installed, if any."""
        return optional_libraries.reason_missing(*self.libraries)

    def check(self, workload: Workload, spec: DerivativeSpec) -> Unsupported | None:
        """Check whether it applies, without running it at the size of the spec."""
        if spec.quantity not in self.quantities:
            computed = ", ".join(sorted(self.quantities))
            return Unsupported(f"no {spec.quantity}: it computes {computed}")
        reason = self.reason_inapplicable and self.reason_inapplicable(workload, spec)
        if reason is None and self.smoke_test:
            like: torch.Tensor = spec.args[0]
            dtype = like.dtype if like.is_floating_point() else None
            reason = _smoke_test(self, workload, like.device, dtype)
        if reason is None and self.reason_too_large is not None:
            reason = self.reason_too_large(PureFunction.of(spec))
        return None if reason is None else Unsupported(reason)


@functools.cache
def _smoke_test(
    baseline: Baseline,
    workload: Workload,
    device: torch.device,
    dtype: torch.dtype | None,
) -> str | None:
    """Run a baseline on two samples of the tiny size; return what it raised."""
    tiny = workload.build(workload.tiny).to(device=device, dtype=dtype)
    if tiny.batch_dim is not None:
        tiny = replace(tiny, args=tuple(arg[:2] for arg in tiny.args))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            baseline.prepare(workload, tiny)()
    except UnsupportedError as error:
        return str(error)
    except Exception as error:
        return first_line(error)
    return None


def first_line(error: Exception) -> str:
    """Return the name of an exception, and the first line of its message."""
    message = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {message}"
