"""What a baseline is: derivatives as another library's users compute them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from jacengine.bench.workload import Question, Workload
from jacengine.interface import Unsupported
from jacengine.problem.quantity import Quantity


def _as_it_is(result: Any) -> Any:
    return result


@dataclass(frozen=True)
class Prepared:
    """What is ready to be computed; calling it gives the result.

    Attributes:
        run: Computes it anew and returns when it is there. This is what to time.
        convert: Turns what `run` returned into detached tensors, nested as
            `jacengine.auto` nests them. Not to be timed: users of that library go on
            with its own arrays.
    """

    run: Callable[[], Any]
    convert: Callable[[Any], Any] = _as_it_is

    def __call__(self) -> Any:
        """Compute it, as tensors."""
        return self.convert(self.run())


class Baseline(ABC):
    """A library's way to derivatives, called as its users call it, at its best.

    A baseline is never a candidate of `auto`. Subclass it as a frozen dataclass.

    Attributes:
        name: What it is called in tables.
        source: Where it is from, or documented.
        quantities: What it computes.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    quantities: ClassVar[frozenset[Quantity]] = frozenset({"jacobian"})

    def missing(self) -> str | None:
        """Say why it cannot be used here, if its library is not installed."""
        return None

    def check(
        self, workload: Workload, size: int, question: Question
    ) -> Unsupported | None:
        """Say why it does not apply, cheaply and without running it at this size.

        Args:
            workload: What is asked for.
            size: At which size.
            question: The same, built; in the dtype and on the device to be used.

        Returns:
            `None` if it applies, else the reason.
        """
        if question.quantity not in self.quantities:
            computed = ", ".join(sorted(self.quantities))
            return Unsupported(f"no {question.quantity}: it computes {computed}")
        return self.declines(workload, size, question)

    def declines(
        self, workload: Workload, size: int, question: Question
    ) -> Unsupported | None:
        """Say why it does not apply to a quantity that it computes.

        Args:
            workload: What is asked for.
            size: At which size.
            question: The same, built; in the dtype and on the device to be used.

        Returns:
            `None` if it applies, else the reason.
        """
        del workload, size, question
        return None

    @abstractmethod
    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        """Do everything that its users do once.

        Args:
            workload: What is asked for.
            size: At which size.
            question: The same, built; it is not changed.

        Returns:
            What computes it.
        """
