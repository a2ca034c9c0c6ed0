"""A curvature backend for laplace-torch, whose Jacobians jacengine computes."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn

from jacengine.api.operator import operator
from jacengine.api.plan import plan
from jacengine.errors import PlanMismatchError
from jacengine.linear_operators.jacobian_operator import JacobianOperator
from jacengine.plans.plan import Plan
from jacengine.problem.signature import describe_leaves
from jacengine.pytrees import flatten

try:
    from laplace.curvature import CurvlinopsGGN
except ImportError as error:
    raise ImportError(
        f"jacengine.integrations.laplace needs laplace-torch ({error}). Install it with"
        " pip install laplace-torch."
    ) from error

Inputs = Tensor | MutableMapping[str, Any]


class JacengineGGN(CurvlinopsGGN):
    """The generalized Gauss-Newton matrix, from Jacobians by the fastest method.

    Give the class to `laplace.Laplace` as `backend=`. Jacobians of a kind of input (its
    shape without the number of samples, its dtype, whether they are differentiated
    again) come from one plan, which is made at the first call and reads the parameters
    anew at each. The full and the diagonal matrix come from an operator: of `J` no more
    than 64 MiB are formed at a time, and for the diagonal of linear layers nothing.
    The Kronecker-factored matrix is that of curvlinops.

    `FunctionalLaplace` (`hessian_structure="gp"`) accepts the backends of laplace-torch
    alone, and no subclass of them.

    Examples:
        >>> import torch
        >>> from laplace import Laplace
        >>> from jacengine.integrations.laplace import JacengineGGN
        >>> model = torch.nn.Linear(3, 1)
        >>> la = Laplace(model, "regression", subset_of_weights="all",
        ...     hessian_structure="full", backend=JacengineGGN)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._plans: dict[object, Plan] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the plans out of copies: they are made anew for the copied model."""
        return {**vars(self), "_plans": {}}

    def jacobians(
        self, x: Inputs, enable_backprop: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the Jacobians by the parameters, and the outputs.

        Args:
            x: A batch of inputs: `(B, ...)`, or a mapping of such tensors.
            enable_backprop: Whether both can be differentiated.

        Returns:
            Jacobians `(B, C, P)` and outputs `(B, C)`; of a subnetwork, `P` counts its
            parameters alone, in the order of `subnetwork_indices`.
        """
        return self._computed(_with_value, (x,), enable_backprop)

    def selected_output_jacobians(
        self, x: Inputs, outputs: Tensor, enable_backprop: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the Jacobians of some outputs, others for each sample.

        The other outputs are not differentiated.

        Args:
            x: A batch of inputs: `(B, ...)`, or a mapping of such tensors.
            outputs: The indices of the outputs, `(B,)` or `(B, S)`.
            enable_backprop: Whether both can be differentiated.

        Returns:
            Jacobians `(B, S, P)`, with `S = 1` for outputs `(B,)`, and all outputs
            `(B, C)`.

        Raises:
            ValueError: `outputs` has another number of samples than `x`.
        """
        samples = next(leaf for leaf in flatten(x)[0] if isinstance(leaf, Tensor))
        if outputs.dim() not in {1, 2} or len(outputs) != len(samples):
            raise ValueError(
                f"outputs has shape {tuple(outputs.shape)}; expected ({len(samples)},) "
                f"or ({len(samples)}, S): output selectors of the batch's samples."
            )
        index = outputs.to(samples.device, torch.long).view(len(outputs), -1)
        return self._computed(_selected, (x, index), enable_backprop)

    def full(self, x: Inputs, y: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Return the loss and the whole matrix, `(P, P)`.

        Args:
            x: A batch of inputs.
            y: Their targets.
            kwargs: As `CurvlinopsGGN.full` takes them.
        """
        found = self._weighted(x, y)
        if found is None:
            return super().full(x, y, **kwargs)
        loss, weighted = found
        return loss, weighted.normal()

    def diag(self, x: Inputs, y: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Return the loss and the diagonal of the matrix, `(P,)`.

        Args:
            x: A batch of inputs.
            y: Their targets.
            kwargs: As `CurvlinopsGGN.diag` takes them.
        """
        found = self._weighted(x, y)
        if found is None:
            return super().diag(x, y, **kwargs)
        loss, weighted = found
        return loss, weighted.normal_diagonal()

    def _weighted(self, x: Inputs, y: Tensor) -> tuple[Tensor, JacobianOperator] | None:
        """Return the loss and `R^T J`, where `R R^T` is the Hessian of the loss.

        The matrix is `J^T R R^T J`. Of the cross entropy, the Hessian by the outputs is
        `diag(p) - p p^T`, and `R = diag(sqrt(p)) - p sqrt(p)^T`.

        Returns:
            `None`, where it is not this matrix or the outputs are not `(B, C)`.
        """
        with torch.no_grad():
            f = self.model(x)
            loss = self.factor * self.lossfunc(f, y)
        if self.stochastic or self.subnetwork_indices is not None or f.dim() != 2:
            return None
        args: tuple[Any, ...] = (x,)
        head: Callable[..., Any] = _unchanged
        if self.likelihood == "classification":
            p = f.softmax(-1)
            root = torch.diag_embed(p.sqrt()) - p.unsqueeze(2) * p.sqrt().unsqueeze(1)
            args, head = (x, root), _projected
        model = _Headed(self.model, head)
        return loss, operator(model, *args, wrt=self._names, batch_dim=0)

    def _computed(
        self,
        head: Callable[..., Any],
        args: tuple[Any, ...],
        enable_backprop: bool,
    ) -> tuple[Tensor, Tensor]:
        """Compute the Jacobian of a head on the model, by the plan for such calls."""
        leaves, structure = flatten(args)
        kinds = [
            (leaf.shape[1:], leaf.dtype, leaf.device)
            if isinstance(leaf, Tensor)
            else described
            for leaf, described in zip(leaves, describe_leaves(leaves), strict=True)
        ]
        key = (head, enable_backprop, structure.key, tuple(kinds))
        if key in self._plans:
            try:
                found: tuple[Tensor, Tensor] = self._plans[key](*args)
            except PlanMismatchError:
                pass  # the model has changed otherwise: it is in training mode now
            else:
                return found
        self._plans[key] = plan(
            _Headed(self.model, head),
            *args,
            wrt=self._names,
            batch_dim=0,
            layout="flat",
            columns=self.subnetwork_indices,
            has_aux=True,
            create_graph=enable_backprop,
        )
        made: tuple[Tensor, Tensor] = self._plans[key](*args)
        return made

    @property
    def _names(self) -> list[str]:
        """The names in `_Headed` of the parameters of this backend."""
        mine = {id(parameter) for parameter in self.params}
        names = self.model.named_parameters()
        return [f"model.{name}" for name, p in names if id(p) in mine]


class _Headed(nn.Module):
    """A model, and what is done with its outputs."""

    def __init__(self, model: nn.Module, head: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.head = model, head
        self.training = model.training

    def forward(self, x: Inputs, *others: Tensor) -> Any:
        """Pass the outputs, and other arguments, to the head."""
        return self.head(self.model(x), *others)


def _unchanged(f: Tensor) -> Tensor:
    return f


def _with_value(f: Tensor) -> tuple[Tensor, Tensor]:
    return f, f


def _selected(f: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    return f.gather(1, outputs), f


def _projected(f: Tensor, root: Tensor) -> Tensor:
    return (root.mT @ f.unsqueeze(-1)).squeeze(-1)
