"""`jacengine auto`: select a method for the user's own model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import torch
from torch import nn

from jacengine._load_object import call_of, describe_error, load_object
from jacengine.api.plan import plan
from jacengine.bench.workload import DerivativeSpec
from jacengine.commands import param_types as types
from jacengine.commands.cli_group import CommandError
from jacengine.commands.output import print_records
from jacengine.errors import JacengineError, nearest
from jacengine.plans.plan import Plan
from jacengine.problem.call_spec import Wrt


@click.command("auto")
@click.argument("factory", metavar="MODULE:FACTORY")
@click.option(
    "--wrt",
    type=types.WRT,
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
    type=types.EFFORTS,
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
@types.FORMAT_OPTION
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Save the plan, for jacengine.load_plan.",
)
def auto_command(
    factory: str,
    *,
    wrt: tuple[str, ...] | None,
    threads: int | None,
    save: Path | None,
    form: str,
    **options: Any,
) -> None:
    """Select a method for a model of your own, and print why.

    FACTORY is a function without arguments that returns the model and its arguments,
    (fn, x) or (fn, (x, y)), or a jacengine.bench.workload.DerivativeSpec.
    """
    derivative = _derivative(factory, load_object(factory))
    if threads is not None:
        torch.set_num_threads(threads)
    options["wrt"] = None if wrt is None else _wrt(wrt, derivative.fn)
    for name in ("wrt", "batch_dim", "quantity"):
        if options[name] is None:
            options[name] = getattr(derivative, name)
    selected = _plan(derivative, options)
    if form == "table":
        click.echo(selected.explain())
    elif form == "json":
        click.echo(json.dumps(_to_json(selected), indent=1))
    else:
        print_records(_candidates(selected), form)
    if save is not None:
        selected.save(save)


def _plan(derivative: DerivativeSpec, options: Mapping[str, Any]) -> Plan:
    """Select a method; an exception of the model becomes a message."""
    try:
        return plan(derivative.fn, *derivative.args, **options)
    except JacengineError:
        raise
    except Exception as error:
        raise CommandError(f"The model raised {describe_error(error)}.") from error


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
    except (Exception, SystemExit) as error:
        raise CommandError(f"{name} raised {describe_error(error)}.") from error
    if isinstance(result, DerivativeSpec):
        return result
    if (call := call_of(result)) is not None:
        return DerivativeSpec(*call, batch_dim=None)
    raise CommandError(
        f"The factory returned a {type(result).__name__}; expected (fn, x), (fn, (x, "
        "y)) or a jacengine.bench.workload.DerivativeSpec."
    )


def _wrt(words: tuple[str, ...], fn: object) -> Wrt:
    """Read what to differentiate: numbers of arguments, a word, or parameters.

    Raises:
        CommandError: A word is none of these.
    """
    if all(word.isdecimal() for word in words):
        numbers = tuple(map(int, words))
        return numbers[0] if len(numbers) == 1 else numbers
    if words in {("inputs",), ("params",)}:
        return words[0]
    names = set[str]()
    if isinstance(fn, nn.Module):
        names = {name for name, _ in fn.named_parameters(remove_duplicate=False)}
    for word in words:
        if word not in names:
            raise CommandError(
                f"--wrt {','.join(words)}: {word!r} is neither the number of an "
                "argument, inputs, params, nor the name of a parameter."
                f"{nearest(word, {'inputs', 'params', *names})}"
            )
    return list(words)


def _candidates(selected: Plan) -> list[dict[str, Any]]:
    """Return the candidates as records, the chosen one first."""
    records: list[dict[str, Any]] = json.loads(
        selected.to_frame().to_json(orient="records", double_precision=15)
    )
    return records


def _to_json(selected: Plan) -> dict[str, Any]:
    """Return what was chosen, for what, and among what."""
    problem, selection = selected.problem, selected.selection
    return {
        "strategy": selected.strategy,
        "quantity": problem.options.quantity,
        "outputs": problem.output_count,
        "inputs": problem.column_count,
        "samples": problem.batch_size,
        "result_bytes": problem.result_bytes,
        "budget_bytes": selection.budget,
        "selection_s": selection.cost_s,
        "source": selection.source,
        "unstable": selection.unstable,
        "candidates": _candidates(selected),
    }
