"""A call of `blocks`, analyzed: here, or in a worker of an executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jacengine.api.strategies import plan_request
from jacengine.plans.blockwise import BlockwiseJacobian, Piece
from jacengine.plans.complex_result import complex_result, require_holomorphic
from jacengine.plans.planning import cached_plan
from jacengine.plans.request import PlanRequest
from jacengine.problem.problem import Options
from jacengine.selection.budget import Budget
from jacengine.selection.effort import Effort


@dataclass(frozen=True)
class PieceOptions:
    """The options of `blocks` that hold for each piece; they can be pickled.

    Attributes:
        result: Those that decide what the result is.
        strategies: The strategies to consider, by name; `None` for all.
        exclude: Those to leave out.
        memory_budget: Bytes that the whole may take.
        effort: How much may be spent on the choice.
    """

    result: Options
    strategies: Iterable[str] | None
    exclude: Iterable[str]
    memory_budget: Budget
    effort: Effort

    def analyze(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None = None,
    ) -> tuple[BlockwiseJacobian, PlanRequest]:
        """Analyze a call, to be computed in pieces.

        Raises:
            ArgumentError: It is not holomorphic, and should be.
        """
        request = plan_request(
            fn,
            args,
            kwargs,
            self.result,
            strategies=self.strategies,
            exclude=self.exclude,
            memory_budget=self.memory_budget,
            effort=self.effort,
        )
        if self.result.complex != "holomorphic":
            return BlockwiseJacobian(request, cached_plan), request
        require_holomorphic(request)
        return BlockwiseJacobian(request, cached_plan, self._to_complex), request

    def _to_complex(self, piece: Piece) -> Piece:
        """Make a piece of a holomorphic function's Jacobian complex."""
        rows = slice(piece.rows.start, piece.rows.stop // 2)
        return replace(
            piece, rows=rows, jacobian=complex_result(self.result, piece.jacobian)
        )
