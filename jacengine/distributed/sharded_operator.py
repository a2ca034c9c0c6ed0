"""The Jacobian of all samples as an operator, each rank holding that of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard

from jacengine.distributed.channel import channel_of
from jacengine.distributed.choose_axis import why_not_samples
from jacengine.distributed.planning import describe_request, refuse_differences
from jacengine.distributed.replica import unwrapped
from jacengine.distributed.sharded_plan import Sharding, whole_parameters
from jacengine.distributed.split import SampleSplit
from jacengine.distributed.window import Window
from jacengine.errors import ArgumentError
from jacengine.linear_operators.jacobian_operator import JacobianOperator, make_operator
from jacengine.plans.analysis import analyze_request
from jacengine.plans.request import PlanRequest
from jacengine.problem.call_spec import CallSpec, describe_call


class ShardedOperator:
    """A Jacobian `(M, N)` known by its products; each rank has the rows of its samples.

    J is not gathered. All ranks take part in each product, with the same vectors. What
    has an entry a row is a `DTensor` `(B, C, ...)` over samples, of `C` rows each, or
    with `gather=True` a tensor `(M, ...)` on all ranks. What has an entry a column is a
    tensor on all ranks where samples share the columns (those of parameters), else a
    `DTensor` `(B, n, ...)`, or gathered.

    Attributes:
        shape: `(M, N)`.
        local: The operator of this rank's samples; `None` if it has none.
        sharding: How results are spread.
    """

    def __init__(
        self,
        local: JacobianOperator | None,
        window: Window,
        counts: tuple[int, int],
        like: Tensor,
        sharding: Sharding,
        *,
        shared: bool,
    ) -> None:
        self.local, self.sharding = local, sharding
        self._window, self._like, self._shared = window, like, shared
        self._rows, self._columns = counts
        columns = self._columns if shared else self._columns * window.size
        self.shape = (self._rows * window.size, columns)
        self._channel = channel_of(sharding.mesh, sharding.timeout_s)

    @property
    def T(self) -> ShardedTranspose:  # noqa: N802 - as of tensors
        """The transpose, to multiply with."""
        return ShardedTranspose(self)

    def __matmul__(self, tangents: Tensor) -> Tensor:
        """Multiply with a vector or with several, the same on all ranks.

        Args:
            tangents: `(N,)` or `(N, m)`; where samples have columns of their own also a
                `DTensor` `(B, n)` or `(B, n, m)`.

        Returns:
            Of the rows; see the class.

        Raises:
            ShardError: It has another length, or some rank failed, or is missing.
        """

        def push() -> Tensor:
            own = tangents
            if not self._shared:
                own = self._own(tangents, self._columns, "J @ v")
            elif tangents.dim() not in {1, 2} or tangents.shape[0] != self.shape[1]:
                raise ArgumentError(
                    f"J @ v got a tensor of shape {tuple(tangents.shape)}; expected "
                    f"({self.shape[1]},) or ({self.shape[1]}, m)."
                )
            if self.local is None:
                return self._like.new_zeros(0, *own.shape[1:])
            return self.local @ own

        return self._by_sample("J @ v", push, self._rows)

    def pull(self, cotangents: Tensor) -> Tensor:
        """Multiply the transpose; also `op.T @ u`.

        Args:
            cotangents: `(M,)` or `(M, m)`, or the `DTensor` that `op @ v` returns.

        Returns:
            Of the columns; see the class.

        Raises:
            ShardError: It has another length, or some rank failed, or is missing.
        """

        def pulled() -> Tensor:
            own = self._own(cotangents, self._rows, "J.T @ u")
            if self.local is None:
                count = self._columns if self._shared else 0
                return self._like.new_zeros(count, *own.shape[1:])
            return self.local.pull(own)

        if not self._shared:
            return self._by_sample("J.T @ u", pulled, self._columns)
        return self._total("J.T @ u", pulled)

    def row_norms(self) -> Tensor:
        """Return the norms of the rows."""
        return self._by_sample("row norms", self._of_local("row_norms", 0), self._rows)

    def normal(self) -> Tensor:
        """Return `J^T J`, `(N, N)`, on all ranks, for few columns.

        Raises:
            ArgumentError: Samples have columns of their own.
        """
        self._require_shared("normal()")
        size = self.shape[1]
        return self._total("normal matrix", self._of_local("normal", size, size))

    def normal_diagonal(self) -> Tensor:
        """Return the squared norms of the columns."""
        size = self._columns if self._shared else 0
        run = self._of_local("normal_diagonal", size)
        if self._shared:
            return self._total("normal diagonal", run)
        return self._by_sample("normal diagonal", run, self._columns)

    def gram(self) -> Tensor:
        """Return `J J^T`, the empirical tangent kernel of parameters.

        Each rank computes the rows of its samples. The rows of J travel from rank to
        rank in parts, each once; a rank holds one part at a time.

        Returns:
            `(B, C, M)` over samples; with `gather=True` `(M, M)` on all ranks.

        Raises:
            ArgumentError: Samples have columns of their own.
            ShardError: Some rank failed, or is missing.
        """
        self._require_shared("gram()")
        channel, blocks = self._channel, list[Tensor]()
        parts: Iterator[Tensor] = iter(())
        if self.local is not None:
            parts = self.local.parts()
        with channel.lock:
            for rank in range(channel.size):
                blocks += self._products_with(rank, parts)
        count = self._count * self._rows
        found = torch.cat(blocks, dim=1) if blocks else self._like.new_zeros(0, 0)
        found = found.reshape(count, self.shape[0])
        return self._by_sample("gram matrix", lambda: found, self._rows)

    def __repr__(self) -> str:
        """Say what it is."""
        ranks = self._channel.size
        return f"ShardedOperator({self.shape[0]} x {self.shape[1]}, {ranks} ranks)"

    @property
    def _count(self) -> int:
        """The number of samples of this rank."""
        return self._window.count

    def _products_with(self, rank: int, parts: Iterator[Tensor]) -> Iterator[Tensor]:
        """Yield the products of this rank's rows with those of a rank."""
        channel, own = self._channel, rank == self._channel.rank
        received: Tensor | None = None

        def step() -> tuple[Tensor | None, Tensor | None]:
            product = None
            if received is not None and self.local is not None:
                product = self.local @ received.T
            return product, next(parts, None) if own else None

        while True:
            (product, rows), told = channel.agree(
                f"rows of rank {rank}",
                step,
                lambda found: None if found[1] is None else found[1].shape[0],
            )
            if product is not None:
                yield product
            if told[rank] is None:
                return
            if rows is None:
                rows = self._like.new_empty(told[rank], self.shape[1])
            received = channel.send_from(rank, rows)

    def _of_local(self, name: str, *empty: int) -> Callable[[], Tensor]:
        """Return what calls a method of the local operator, if there is one."""

        def run() -> Tensor:
            if self.local is None:
                return self._like.new_zeros(empty)
            found: Tensor = getattr(self.local, name)()
            return found

        return run

    def _total(self, step: str, run: Callable[[], Tensor]) -> Tensor:
        """Add what ranks compute."""
        with self._channel.lock:
            found, _ = self._channel.agree(step, run)
            return self._channel.add(found)

    def _by_sample(self, step: str, run: Callable[[], Tensor], each: int) -> Tensor:
        """Put what ranks compute of their samples side by side."""
        channel, window = self._channel, self._window
        with channel.lock:
            found, _ = channel.agree(step, run)
            split = found.view(self._count, each, *found.shape[1:])
            if self.sharding.gather:
                size = -(-window.size // window.ranks)
                padded = split.new_zeros(size, *split.shape[1:])
                padded[: self._count] = split
                parts = channel.gather(padded)
                counts = [window.of(rank).count for rank in range(channel.size)]
                own = [part[:n] for part, n in zip(parts, counts, strict=True)]
                return torch.cat(own).flatten(0, 1)
        shape = torch.Size((window.size, *split.shape[1:]))
        return DTensor.from_local(
            split,
            self.sharding.mesh,
            [Shard(0)],
            run_check=False,
            shape=shape,
            stride=torch.empty(shape, device="meta").stride(),
        )

    def _own(self, vectors: Tensor, each: int, what: str) -> Tensor:
        """Return the part of vectors that belongs to the samples of this rank.

        Raises:
            ArgumentError: They have another length, or are spread otherwise.
        """
        samples = self._window.size
        if isinstance(vectors, DTensor):
            known = vectors.placements == (Shard(0),) and vectors.dim() in {2, 3}
            if not known or vectors.shape[:2] != (samples, each):
                raise ArgumentError(
                    f"{what} got a DTensor of shape {tuple(vectors.shape)} and "
                    f"placements {vectors.placements}; expected ({samples}, {each}) or "
                    f"({samples}, {each}, m), sharded along the first axis."
                )
            return vectors.to_local().flatten(0, 1)
        if vectors.dim() not in {1, 2} or vectors.shape[0] != samples * each:
            raise ArgumentError(
                f"{what} got a tensor of shape {tuple(vectors.shape)}; expected "
                f"({samples * each},) or ({samples * each}, m)."
            )
        part = self._window.shard
        return vectors[part.start * each : part.stop * each]

    def _require_shared(self, what: str) -> None:
        if not self._shared:
            raise ArgumentError(
                f"{what} is block-diagonal where samples have columns of their own. "
                "Multiply the blocks of each sample, which jacengine.auto(..., "
                "batch_dim=0, mesh=mesh) returns."
            )


class ShardedTranspose:
    """The transpose of an operator over a mesh.

    Attributes:
        T: The operator itself.
        shape: `(N, M)`.
    """

    def __init__(self, operator: ShardedOperator) -> None:
        self.T = operator
        self.shape = (operator.shape[1], operator.shape[0])

    def __matmul__(self, cotangents: Tensor) -> Tensor:
        """Multiply with a vector `(M,)` or with several, `(M, m)`."""
        return self.T.pull(cotangents)


def sharded_operator(
    request: PlanRequest, sharding: Sharding, *, timed: bool
) -> ShardedOperator:
    """Make the operator of a call, each rank that of its own samples.

    Raises:
        ArgumentError: The mesh is none that ranks can be found in.
        ShardError: It is not possible on some rank, or one is missing.
    """
    channel = channel_of(sharding.mesh, sharding.timeout_s)
    request = replace(request, fn=unwrapped(request.fn))
    with channel.lock:
        _, told = channel.agree(
            "call", lambda: describe_request(request, "samples"), dict
        )
        refuse_differences(told, "call")
        request = whole_parameters(request)

        def made() -> tuple[JacobianOperator | None, Window, bool]:
            return _own_operator(request, channel.rank, channel.size, timed=timed)

        def described(found: tuple[JacobianOperator | None, Window, bool]) -> Any:
            local, window, _ = found
            if local is None:
                return None
            rows, columns = local.shape[0] // window.count, local.shape[1]
            if not found[2]:
                columns //= window.count
            dtype = str(local.dtype).removeprefix("torch.")
            return [rows, columns, dtype]

        (local, window, shared), told = channel.agree("operator", made, described)
    known = next((said for said in told if said is not None), None)
    if known is None:
        raise ArgumentError("There are no samples, so there is no operator.")
    device = _spec(request).inputs[0].device
    like = torch.empty(0, dtype=getattr(torch, known[2]), device=device)
    counts = known[0], known[1]
    return ShardedOperator(local, window, counts, like, sharding, shared=shared)


def _spec(request: PlanRequest) -> CallSpec:
    options = request.options
    return describe_call(
        request.fn, request.args, request.kwargs, options.wrt, options.batch_dim
    )


def _own_operator(
    request: PlanRequest, rank: int, ranks: int, *, timed: bool
) -> tuple[JacobianOperator | None, Window, bool]:
    """Make the operator of this rank's samples; tell whether samples share columns.

    Raises:
        ArgumentError: It cannot be split by samples.
    """
    spec, options = _spec(request), request.options
    if spec.batch_size is None:
        raise ArgumentError(
            "An operator over a mesh is split by samples: say along which axis they are"
            " with batch_dim=."
        )
    batched = [leaf.batch_dim is not None for leaf in spec.inputs]
    if any(batched) and len(batched) > 1:
        raise ArgumentError(
            "An operator over a mesh is by parameters, by inputs that all samples "
            f"share, or by one input of samples; got {len(batched)} inputs."
        )
    split = SampleSplit(spec, options, rank, ranks)
    args, kwargs = split.own_call(request.args, request.kwargs)
    problem = analyze_request(replace(request, args=args, kwargs=kwargs))
    refusal = why_not_samples(problem)
    if refusal is not None:
        raise ArgumentError(f"An operator cannot be split by samples: {refusal}.")
    window = split.window(request.args, request.kwargs)
    part, local = window.shard, None
    if part.stop > part.start:
        leaves = problem.bind(request.callee, request.leaves)
        own = leaves.samples(part.start, part.stop).leaves
        args, kwargs = spec.structure.unflatten(list(own))
        local = make_operator(replace(request, args=args, kwargs=kwargs), timed=timed)
    return local, window, not any(batched)
