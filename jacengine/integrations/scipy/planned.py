"""A derivative by a plan that is made at the first call."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from jacengine.api.plan import plan as make_plan
from jacengine.api.sparsity import sparsity
from jacengine.errors import PatternError, PlanMismatchError
from jacengine.plans.plan import Plan


class Planned:
    """A derivative of a function at the arguments of a call.

    Attributes:
        plan: The plan in use, which is made at the first call, and anew for arguments
            of another signature; `None` before.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        options: Mapping[str, Any],
        example: Callable[..., tuple[Any, ...]] | None = None,
    ) -> None:
        """Remember what to plan.

        Args:
            fn: The function.
            options: Options of `jacengine.plan`.
            example: What turns the arguments of a call into those that a plan is made
                and verified at; by default they are the same.
        """
        self.plan: Plan | None = None
        self._fn, self._options, self._example = fn, dict(options), example
        given = options.get("sparsity")
        self._given = given is not None and not isinstance(given, str)

    def __call__(self, *args: Any, kwargs: Mapping[str, Any] | None = None) -> Any:
        """Compute the derivative.

        Raises:
            JacengineError: As `jacengine.plan`.
        """
        if self.plan is not None:
            try:
                return self.plan(*args, kwargs=kwargs)
            except PlanMismatchError:
                pass
            except PatternError as error:
                self._refuse_or_replace_pattern(self.plan, error, args, kwargs)
        example = args if self._example is None else self._example(*args)
        plan = make_plan(self._fn, *example, kwargs=kwargs, **self._options)
        self.plan = plan
        return plan(*args, kwargs=kwargs)

    def _refuse_or_replace_pattern(
        self,
        plan: Plan,
        error: PatternError,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None,
    ) -> None:
        """Let the next plan have a pattern that is large enough here, as `auto` does.

        Raises:
            PatternError: The pattern is the user's.
        """
        options, known = self._options, plan.problem.pattern
        if self._given or known is None:
            raise error
        if options.get("layout") == "csr":
            wrt, quantity = options.get("wrt", 0), options.get("quantity", "jacobian")
            found = sparsity(self._fn, *args, kwargs=kwargs, wrt=wrt, quantity=quantity)
            options["sparsity"], then = found.union(known), "found anew"
        else:
            options["sparsity"], then = None, "not used any more"
        warnings.warn(f"jacengine: {error} The pattern is {then}.", stacklevel=4)
