"""Where the nodes of each layer stand: near their neighbours, and never over one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SWEEPS = 10


def places_of(
    layers: Sequence[Sequence[int]],
    before: Mapping[int, list[int]],
    after: Mapping[int, list[int]],
    gap: Callable[[int, int], float],
) -> dict[int, float]:
    """Give the centre of each node along its layer.

    `gap` gives the least distance between the centres of two nodes next to each other. Order is
    kept.
    """
    places: dict[int, float] = {}
    for layer in layers:
        places.update(zip(layer, _packed(layer, [0.0] * len(layer), gap), strict=True))
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            wanted = []
            for node in layer:
                near = before.get(node, []) if down else after.get(node, [])
                if sweep >= _SWEEPS - 2:
                    near = [*before.get(node, []), *after.get(node, [])]
                mean = sum(places[n] for n in near) / len(near) if near else places[node]
                wanted.append(mean)
            places.update(zip(layer, _packed(layer, wanted, gap), strict=True))
    return places


def _packed(
    layer: Sequence[int], wanted: Sequence[float], gap: Callable[[int, int], float]
) -> list[float]:
    """Put nodes as near to where they are wanted as their order and gaps allow (least squares).

    Neighbours that would overlap are pooled and share the shift that is best for all of them.
    """
    offsets = [0.0] * len(layer)
    for at in range(1, len(layer)):
        offsets[at] = offsets[at - 1] + gap(layer[at - 1], layer[at])
    pools: list[tuple[float, int]] = []  # sum of shifts, members
    for place, offset in zip(wanted, offsets, strict=True):
        total, members = place - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / members:
            more, others = pools.pop()
            total, members = total + more, members + others
        pools.append((total, members))
    shifts = [total / members for total, members in pools for _ in range(members)]
    return [offset + shift for offset, shift in zip(offsets, shifts, strict=True)]
