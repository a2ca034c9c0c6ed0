"""Strategies by name: checked, in order, and third parties' without harm."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import pytest

import jacengine
from jacengine import (
    ArgumentError,
    Capabilities,
    DuplicateStrategyError,
    Passes,
    Point,
    Strategy,
    UnknownStrategyError,
)
from jacengine import registry as registry_module
from jacengine.interface import LinearMap
from jacengine.registry import ENTRY_POINTS, PluginLoader, Registry
from jacengine.strategies import BUILTIN
from jacengine.strategies.repeat import Repeat
from jacengine.strategies.reverse_loop import ReverseLoop
from jacengine.strategies.vmap_vjp import VmapVjp


def named(chosen: Any) -> Strategy:
    """Make a strategy with a name of any kind."""

    @final
    @dataclass(frozen=True)
    class Named(Strategy):
        name: ClassVar[str] = chosen
        summary: ClassVar[str] = ""
        source: ClassVar[str] = ""
        wins: ClassVar[str] = ""
        capabilities: ClassVar[Capabilities] = Capabilities(mode="vjp")

        def passes(self, blocks: int) -> Passes:
            return Passes(1, blocks)

        def linearize(self, point: Point) -> LinearMap:
            return VmapVjp().linearize(point)

    return Named()


def test_names_keep_the_order_of_registration() -> None:
    registry = Registry([VmapVjp()])
    registry.register(named("b_2"))
    registry.register(named("a"))
    assert registry.names() == ("vmap_vjp", "b_2", "a")
    assert registry.get("a").name == "a"


@pytest.mark.parametrize(
    "name", ["", "A", "Vmap", "2nd", "_x", "a-b", "a b", "ä", "a\n", "vmap_vjp "]
)
def test_malformed_names(name: str) -> None:
    registry = Registry()
    with pytest.raises(ArgumentError, match=r"not of the form \[a-z\]"):
        registry.register(named(name))
    assert registry.names() == ()


@pytest.mark.parametrize("name", [None, 3])
def test_names_that_are_no_text(name: object) -> None:
    with pytest.raises(ArgumentError, match="not of the form"):
        Registry().register(named(name))


def test_names_are_taken_once() -> None:
    registry = Registry([VmapVjp()])
    said = r"'vmap_vjp' is registered already \(VmapVjp\); choose another"
    with pytest.raises(DuplicateStrategyError, match=said):
        registry.register(named("vmap_vjp"))
    assert isinstance(registry.get("vmap_vjp").strategy, VmapVjp)


@pytest.mark.parametrize("thing", [VmapVjp, Strategy, "vmap_vjp", None, object()])
def test_things_that_are_no_strategies(thing: Any) -> None:
    with pytest.raises(ArgumentError, match=r"expected an instance of a subclass"):
        Registry().register(thing)


def test_a_strategy_without_capabilities() -> None:
    class Bare(Strategy):
        name = "bare"

        def passes(self, blocks: int) -> Passes:
            return Passes(1, blocks)

        def linearize(self, point: Point) -> LinearMap:
            return VmapVjp().linearize(point)

    with pytest.raises(ArgumentError, match="Bare has no capabilities"):
        Registry().register(Bare())


def test_unknown_name() -> None:
    registry = Registry([VmapVjp(), Repeat(), ReverseLoop()])
    with pytest.raises(UnknownStrategyError, match="Did you mean 'repeat'") as error:
        registry.get("repaet")
    assert "Available: repeat, reverse_loop, vmap_vjp." in str(error.value)
    with pytest.raises(UnknownStrategyError) as error:
        registry.get("completely_different")
    assert "Did you mean" not in str(error.value)


def test_choosing() -> None:
    registry = Registry([VmapVjp(), Repeat(), ReverseLoop()])

    def chosen(names: Any, exclude: Any) -> list[str]:
        return [strategy.name for strategy in registry.choose(names, exclude)]

    assert chosen(None, ()) == ["vmap_vjp", "repeat", "reverse_loop"]
    assert chosen(None, ["repeat"]) == ["vmap_vjp", "reverse_loop"]
    assert chosen(["repeat", "vmap_vjp", "repeat"], ()) == ["repeat", "vmap_vjp"]
    assert chosen(iter(["repeat"]), iter(["vmap_vjp"])) == ["repeat"]
    with pytest.raises(ArgumentError, match="leave no strategy"):
        chosen(["repeat"], ["repeat"])
    with pytest.raises(ArgumentError, match="take lists of names"):
        chosen("repeat", ())
    with pytest.raises(ArgumentError, match="take lists of names"):
        chosen(None, "repeat")
    with pytest.raises(UnknownStrategyError, match="'repaet'"):
        chosen(None, ["repaet"])


def test_built_ins_are_the_default() -> None:
    names = tuple(s.name for s in BUILTIN if s.capabilities.mode != "trace")
    assert jacengine.list_strategies()[: len(names)] == names


def test_built_ins_describe_themselves() -> None:
    for strategy in BUILTIN:
        for said in (strategy.summary, strategy.source, strategy.wins):
            assert said, strategy.name


def test_built_ins_cannot_be_replaced() -> None:
    with pytest.raises(DuplicateStrategyError, match="vmap_vjp"):
        jacengine.register(named("vmap_vjp"))


@dataclass(frozen=True)
class Entry:
    """What an entry point of a distribution looks like from outside."""

    name: str
    found: Callable[[], object]

    def load(self) -> object:
        return self.found()


def publish(
    monkeypatch: pytest.MonkeyPatch, *entries: Entry, registry: Registry
) -> PluginLoader:
    asked: list[str] = []

    def entry_points(*, group: str) -> tuple[Entry, ...]:
        asked.append(group)
        return entries

    monkeypatch.setattr(registry_module, "entry_points", entry_points)
    published = PluginLoader(registry)
    assert asked == []
    return published


def test_published_strategies(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry([ReverseLoop()])
    published = publish(
        monkeypatch,
        Entry("an instance", lambda: named("one")),
        Entry("a class", lambda: VmapVjp),
        Entry("a function", lambda: lambda: named("two")),
        registry=registry,
    )
    published.load()
    published.load()
    assert registry.names() == ("reverse_loop", "one", "vmap_vjp", "two")
    assert published.broken == {}


def missing() -> object:
    raise ModuleNotFoundError("No module named 'gone'")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (missing, "ModuleNotFoundError: No module named 'gone'"),
        (lambda: named("reverse_loop"), "DuplicateStrategyError"),
        (lambda: named("Bad Name"), "ArgumentError"),
        (lambda: 42, "TypeError"),
        (lambda: lambda: 42, "ArgumentError"),
    ],
)
def test_broken_published_strategies(
    found: Callable[[], object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry([ReverseLoop()])
    published = publish(
        monkeypatch,
        Entry("broken", found),
        Entry("sound", lambda: named("sound")),
        registry=registry,
    )
    with pytest.warns(UserWarning, match=f"'broken' cannot be loaded.*{said}"):
        published.load()
    published.load()  # warns once only: warnings are errors here
    assert registry.names() == ("reverse_loop", "sound")
    assert said in published.broken["broken"]


def test_the_group_belongs_to_third_parties() -> None:
    ours = [
        point.value
        for point in importlib.metadata.entry_points(group=ENTRY_POINTS)
        if point.value.startswith("jacengine")
    ]
    assert ours == []
