"""Star colourings: no path of four vertices has two colours only.

The vertices of each two colours then form stars. An edge of a star is the only one
between the spoke and the colour of the hub.

Source: A. Gebremedhin, A. Tarafdar, F. Manne, A. Pothen, "New acyclic and star coloring
algorithms with application to computing Hessians", 2007, algorithm 4.1,
https://doi.org/10.1137/050639879 .
"""

from __future__ import annotations

import torch
from torch import Tensor

_UNKNOWN = -1


def star_colors(size: int, rows: Tensor, columns: Tensor) -> Tensor:
    """Colour the vertices of a symmetric pattern, those with most neighbours first."""
    apart = rows != columns
    neighbours: list[list[int]] = [[] for _ in range(size)]
    edges = zip(rows[apart].tolist(), columns[apart].tolist(), strict=True)
    for row, column in edges:
        neighbours[row].append(column)
    found = [_colored(neighbours, order) for order in _orders(neighbours)]
    return torch.tensor(min(found, key=max), dtype=torch.int64, device="cpu")


def _orders(neighbours: list[list[int]]) -> list[list[int]]:
    natural = list(range(len(neighbours)))
    largest_first = sorted(natural, key=lambda v: -len(neighbours[v]))
    return [natural, largest_first]


def _colored(neighbours: list[list[int]], order: list[int]) -> list[int]:
    color = [_UNKNOWN] * len(neighbours)
    forbidden: dict[int, int] = {}  # for which vertex a colour was last forbidden
    first: dict[int, tuple[int, int]] = {}  # a vertex, its first neighbour of a colour
    star: dict[tuple[int, int], int] = {}  # of each edge
    hubs: list[int] = []  # of each star; unknown of a single edge

    def star_of(v: int, w: int) -> int:
        return star[(v, w) if v < w else (w, v)]

    def forbid_beyond(v: int, w: int) -> None:
        for x in neighbours[w]:
            if color[x] != _UNKNOWN:
                forbidden[color[x]] = v

    for v in order:
        near = [w for w in neighbours[v] if color[w] != _UNKNOWN]
        for w in near:
            forbidden[color[w]] = v
            p, q = first.get(color[w], (_UNKNOWN, _UNKNOWN))
            if p == v:  # v would be between two of one colour: the hub of their star
                forbid_beyond(v, q)
                forbid_beyond(v, w)
            else:
                first[color[w]] = (v, w)
                for x in neighbours[w]:
                    known = x != v and color[x] != _UNKNOWN
                    if known and hubs[star_of(w, x)] == x:
                        forbidden[color[x]] = v
        chosen = 0
        while forbidden.get(chosen) == v:
            chosen += 1
        color[v] = chosen
        for w in near:
            edge = (v, w) if v < w else (w, v)
            alike = (x for x in neighbours[w] if x != v and color[x] == chosen)
            x = next(alike, _UNKNOWN)
            q = first[color[w]][1]
            if x != _UNKNOWN:
                star[edge] = star_of(w, x)
                hubs[star[edge]] = w
            elif q != w:
                star[edge] = star_of(v, q)
                hubs[star[edge]] = v
            else:
                star[edge] = len(hubs)
                hubs.append(_UNKNOWN)
    return color
