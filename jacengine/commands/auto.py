"""`jacengine auto`: select a method for the user's own model."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import torch
from torch import nn

from jacengine.api.plan import plan
from jacengine.bench.workload import DerivativeSpec
from jacengine.commands import param_types as types
from jacengine.commands.cli_group import CommandError
from jacengine.errors import JacengineError
from jacengine.plans.plan import Plan
from jacengine.problem.call_spec import Wrt
from jacengine.sweep.catalogue import load_object


@click.command("auto")
@click.argument("factory", metavar="MODULE:FACTORY")
@click.option(
    "--wrt",
    metavar="WRT",
    help="What to differentiate: an argument's number, inputs, params, or names of "
    "parameters separated by commas.",
)
@click.option(
    "--batch-dim",
    type=click.IntRange(0, 0),
    metavar="0",
    help="0 if samples along the first axis are independent.",
)
@click.option(
    "--quantity",
    type=types.QUANTITIES,
    help="What to compute; by default a Jacobian, or as in the derivative.",
)
@types.STRATEGIES_OPTION
@types.EXCLUDE_OPTION
@types.MEMORY_BUDGET_OPTION
@click.option(
    "--effort",
    type=click.Choice(["none", "quick", "thorough"]),
    default="quick",
    help="How long the selection may take.",
)
@click.option(
    "--compiled",
    is_flag=True,
    help="Compile the fastest methods too, and use one if it is faster.",
)
@click.option(
    "--threads", type=types.THREADS, metavar="N", help="Threads of one operator."
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Save the plan, for jacengine.load_plan.",
)
def auto_command(
    factory: str,
    *,
    wrt: str | None,
    threads: int | None,
    save: Path | None,
    **options: Any,
) -> None:
    """Select a method for a model of your own, and print why.

    FACTORY is a function without arguments that returns the model and its arguments,
    (fn, x) or (fn, (x, y)), or a jacengine.bench.workload.DerivativeSpec.
    """
    derivative = _derivative(factory, load_object(factory))
    if threads is not None:
        torch.set_num_threads(threads)
    options["wrt"] = None if wrt is None else _wrt(wrt)
    for name in ("wrt", "batch_dim", "quantity"):
        if options[name] is None:
            options[name] = getattr(derivative, name)
    selected = _plan(derivative, options)
    click.echo(selected.explain())
    if save is not None:
        selected.save(save)


def _plan(derivative: DerivativeSpec, options: Mapping[str, Any]) -> Plan:
    """Select a method; an exception of the model becomes a message."""
    try:
        return plan(derivative.fn, *derivative.args, **options)
    except JacengineError:
        raise
    except Exception as error:
        raise CommandError(_describe("the model", error)) from error


def _derivative(name: str, factory: Any) -> DerivativeSpec:
    """Call a factory, and convert its result."""
    if isinstance(factory, DerivativeSpec):
        return factory
    if not callable(factory) or isinstance(factory, nn.Module):
        raise CommandError(
            f"{name} is a {type(factory).__name__}; expected a function without "
            "arguments that returns (fn, args)."
        )
    try:
        result: Any = factory()
    except Exception as error:
        raise CommandError(_describe(name, error)) from error
    if isinstance(result, DerivativeSpec):
        return result
    if isinstance(result, tuple) and len(result) >= 2 and callable(result[0]):
        fn, *rest = result
        args = rest[0] if len(rest) == 1 and isinstance(rest[0], tuple) else tuple(rest)
        return DerivativeSpec(fn, args, batch_dim=None)
    raise CommandError(
        f"The factory returned a {type(result).__name__}; expected (fn, x), (fn, (x, "
        "y)) or a jacengine.bench.workload.DerivativeSpec."
    )


def _wrt(text: str) -> Wrt:
    if re.fullmatch(r"\d+", text):
        return int(text)
    return text if text in {"inputs", "params"} else text.split(",")


def _describe(source: str, error: Exception) -> str:
    """Describe an exception and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    last = (own or list(frames))[-1]
    where = f"{Path(last.filename).name}, line {last.lineno}"
    return f"{source} raised {type(error).__name__}: {error} ({where})"
