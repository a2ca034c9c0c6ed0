"""A catalogue that registers plugins which crash and hang, as workers import it."""

import os
import time
from typing import ClassVar, NoReturn, final

import jacengine
from jacengine import Capabilities, Passes, Point, Strategy
from tests.sweep.fakes import fine, workload


@final
class Crashing(Strategy):
    """Ends the process."""

    name: ClassVar[str] = "crashing"
    summary: ClassVar[str] = "crashes"
    source: ClassVar[str] = "tests"
    wins: ClassVar[str] = "never"
    capabilities: ClassVar[Capabilities] = Capabilities(mode="vjp")

    def passes(self, blocks: int) -> Passes:
        return Passes(forward=0, backward=0 * blocks)

    def linearize(self, point: Point) -> NoReturn:
        del point
        os._exit(7)


@final
class Hanging(Strategy):
    """Never returns."""

    name: ClassVar[str] = "hanging"
    summary: ClassVar[str] = "hangs"
    source: ClassVar[str] = "tests"
    wins: ClassVar[str] = "never"
    capabilities: ClassVar[Capabilities] = Capabilities(mode="jvp")

    def passes(self, blocks: int) -> Passes:
        return Passes(forward=0, backward=0 * blocks)

    def linearize(self, point: Point) -> NoReturn:
        while True:
            time.sleep(point.primals[0].numel())


jacengine.register(Crashing())
jacengine.register(Hanging())
WORKLOADS = (workload("one", fine),)
