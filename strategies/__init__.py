"""The built-in strategies, one a file.

Importing this package registers nothing; `BUILTIN` lists one instance of each, in the
order in which ties are settled.
"""

from __future__ import annotations

from jacengine.interface import Strategy
from jacengine.strategies.batched_grad import BatchedGrad
from jacengine.strategies.double_vjp import DoubleVjp
from jacengine.strategies.double_vjp_repeat import DoubleVjpRepeat
from jacengine.strategies.elimination import Elimination
from jacengine.strategies.forward_dual import ForwardDual
from jacengine.strategies.forward_laplacian import ForwardLaplacian
from jacengine.strategies.quasi_linear import QuasiLinear
from jacengine.strategies.repeat import Repeat
from jacengine.strategies.reverse_loop import ReverseLoop
from jacengine.strategies.vmap_jvp import VmapJvp
from jacengine.strategies.vmap_vjp import VmapVjp

BUILTIN: tuple[Strategy, ...] = (
    ReverseLoop(),
    BatchedGrad(),
    Repeat(),
    VmapVjp(),
    DoubleVjp(),
    DoubleVjpRepeat(),
    ForwardDual(),
    VmapJvp(),
    QuasiLinear(),
    ForwardLaplacian(),
    Elimination(),
)
