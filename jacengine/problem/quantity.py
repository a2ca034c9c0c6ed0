"""What can be computed of a function: its Jacobian, or something of its Hessian.

A Hessian is the Jacobian of a gradient; a diagonal and a trace are parts of it that are
computed without the rest.
"""

from __future__ import annotations

from typing import Literal

Quantity = Literal[
    "jacobian", "diagonal", "divergence", "hessian", "hessian_diagonal", "laplacian"
]
"""| quantity | shape (`B` first with samples) |
|---|---|
| `jacobian` | `(*out, *in)` |
| `diagonal` | `(*in)`, of a function to outputs like its inputs |
| `divergence` | `()`, the sum of that |
| `hessian` | `(*out, *in, *in)` |
| `hessian_diagonal` | `(*out, *in)` |
| `laplacian` | `(*out)` |"""

Part = Literal["whole", "diagonal", "trace"]
"""Which part of a matrix is wanted."""

PARTS: dict[Quantity, Part] = {
    "jacobian": "whole",
    "diagonal": "diagonal",
    "divergence": "trace",
    "hessian": "whole",
    "hessian_diagonal": "diagonal",
    "laplacian": "trace",
}
TITLES: dict[Quantity, str] = {
    "jacobian": "Jacobian",
    "diagonal": "Diagonal of the Jacobian",
    "divergence": "Divergence",
    "hessian": "Hessian",
    "hessian_diagonal": "Diagonal of the Hessian",
    "laplacian": "Laplacian",
}
"""What tables and messages call it."""
FIRST_ORDER: frozenset[Quantity] = frozenset({"jacobian", "diagonal", "divergence"})
"""What is the Jacobian of the function itself, or a part of it."""
SECOND_ORDER: frozenset[Quantity] = frozenset(PARTS) - FIRST_ORDER
"""What is the Jacobian of a gradient, or a part of it."""
