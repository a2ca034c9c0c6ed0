"""`jacengine auto`: the choice for the user's own model, from the shell."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import click
import torch
from torch import nn

from jacengine.api.jacobian import plan
from jacengine.bench.workload import DerivativeSpec as Question
from jacengine.commands.exit_codes import Failure
from jacengine.commands.param_types import BudgetText, Names
from jacengine.errors import JacengineError
from jacengine.plans.plan import Plan
from jacengine.problem.call_spec import Wrt
from jacengine.problem.quantity import PARTS, Quantity
from jacengine.selection.select import Effort
from jacengine.sweep.catalogue import load_object


@click.command("auto")
@click.argument("factory", metavar="MODULE:FACTORY")
@click.option(
    "--wrt",
    default=None,
    metavar="WRT",
    help="What to differentiate: an argument's number, inputs, params, or names of "
    "parameters separated by commas.",
)
@click.option(
    "--batch-dim",
    type=click.IntRange(0, 0),
    default=None,
    metavar="0",
    help="0 if samples are independent and lie along the first axis.",
)
@click.option(
    "--quantity",
    type=click.Choice(list(PARTS)),
    default=None,
    help="What to compute; a Jacobian, unless the question says otherwise.",
)
@click.option(
    "--memory-budget",
    type=BudgetText(),
    metavar="SIZE",
    help="What a call may allocate: 512MiB.",
)
@click.option(
    "--effort",
    type=click.Choice(["none", "quick", "thorough"]),
    default="quick",
    show_default=True,
    help="How much may be spent on the choice.",
)
@click.option(
    "--compiled",
    is_flag=True,
    help="Compile the fastest methods too, and take what is compiled if it is faster.",
)
@click.option("--strategies", type=Names(), metavar="NAME,...", help="These only.")
@click.option("--exclude", type=Names(), default=(), metavar="NAME,...")
@click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="Threads of one operator."
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep the choice, for jacengine.load_plan.",
)
def auto_command(
    factory: str,
    *,
    wrt: str | None,
    batch_dim: int | None,
    quantity: Quantity | None,
    memory_budget: str | None,
    effort: Effort,
    compiled: bool,
    strategies: tuple[str, ...] | None,
    exclude: tuple[str, ...],
    threads: int | None,
    save: Path | None,
) -> None:
    """Choose a method for a model of your own, and print why.

    FACTORY is a function without arguments that returns the model and its arguments,
    (fn, x) or (fn, (x, y)), or a jacengine.bench.workload.DerivativeSpec.
    """
    question = _question(_called(factory, load_object(factory)))
    if threads is not None:
        torch.set_num_threads(threads)
    chosen = _planned(
        question,
        wrt=question.wrt if wrt is None else _wrt(wrt),
        batch_dim=question.batch_dim if batch_dim is None else batch_dim,
        quantity=quantity or question.quantity,
        memory_budget=memory_budget,
        effort=effort,
        compiled=compiled,
        strategies=strategies,
        exclude=exclude,
    )
    click.echo(chosen.explain())
    if save is not None:
        chosen.save(save)


def _planned(question: Question, **options: Any) -> Plan:
    """Make the plan.

    Raises:
        Failure: The model raises something.
        JacengineError: No method computes this Jacobian.
    """
    try:
        return plan(question.fn, *question.args, **options)
    except JacengineError:
        raise
    except Exception as error:
        raise Failure(_blamed("the model", error)) from error


def _called(name: str, factory: Any) -> Any:
    """Call a factory.

    Raises:
        Failure: It cannot be called, or raises.
    """
    if isinstance(factory, Question):
        return factory
    if not callable(factory) or isinstance(factory, nn.Module):
        raise Failure(
            f"{name} is a {type(factory).__name__}; expected a function without "
            "arguments that returns (fn, args)."
        )
    try:
        return cast("Callable[[], Any]", factory)()
    except Exception as error:
        raise Failure(_blamed(name, error)) from error


def _question(made: Any) -> Question:
    """Read what a factory returned.

    Raises:
        Failure: It is something else.
    """
    if isinstance(made, Question):
        return made
    if isinstance(made, tuple) and len(made) >= 2 and callable(made[0]):
        fn, *rest = made
        args = rest[0] if len(rest) == 1 and isinstance(rest[0], tuple) else tuple(rest)
        return Question(fn, args, batch_dim=None)
    raise Failure(
        f"The factory returned a {type(made).__name__}; expected (fn, x), (fn, (x, y)) "
        "or a jacengine.bench.workload.DerivativeSpec."
    )


def _wrt(text: str) -> Wrt:
    if re.fullmatch(r"\d+", text):
        return int(text)
    return text if text in {"inputs", "params"} else text.split(",")


def _blamed(what: str, error: Exception) -> str:
    """Say what was raised, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    last = (own or list(frames))[-1]
    where = f" ({Path(last.filename).name}, line {last.lineno})"
    return f"{what} raised {type(error).__name__}: {error}{where}"
