"""64-bit hashes of whole columns, the same on every machine.

The mixer is SplitMix64's (Steele, Lea, Flood, 2014: "Fast splittable pseudorandom number
generators"), a bijection: numbers of up to 64 bits never collide. They are no defence against
someone who chooses values to collide; then a count of distinct values is too small.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]  # Any: of any shape

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_27, _30, _31 = np.uint64(27), np.uint64(30), np.uint64(31)
_WORD = 8
_LONG = 4_096  # bytes; longer values are hashed one by one


def mixed(words: Array) -> Array:
    """Hash 64-bit words, elementwise; the argument stays as it is."""
    out = words + _GAMMA
    out ^= out >> _30
    out *= _FIRST
    out ^= out >> _27
    out *= _SECOND
    out ^= out >> _31
    return out


def hashed_floats(values: Array) -> Array:
    """Hash floating numbers by value: both zeros are one."""
    return mixed((values + 0.0).view(np.uint64))


def hashed_bytes(data: Array, starts: Array, lengths: Array) -> Array:
    """Hash byte strings that lie in one buffer, eight bytes at a time.

    Shapes: data (bytes,) of uint8; starts and lengths (values,) of int64.
    """
    out = mixed(lengths.astype(np.uint64))
    padded = np.concatenate([data, np.zeros(_WORD, dtype=np.uint8)])
    words = np.ndarray(shape=(len(data) + 1,), dtype="<u8", buffer=padded, strides=(1,))
    for place in np.flatnonzero(lengths > _LONG):
        start = starts[place]
        value = data[start : start + lengths[place]]
        digest = hashlib.blake2b(value.tobytes(), digest_size=_WORD).digest()
        out[place] = np.frombuffer(digest, dtype="<u8")[0]
    active = np.flatnonzero((lengths > 0) & (lengths <= _LONG))
    places, left = starts[active], lengths[active]
    while len(active):
        taken = words[places]
        short = left < _WORD
        if short.any():
            keep = (np.uint64(1) << (left[short] * 8).astype(np.uint64)) - np.uint64(1)
            taken[short] &= keep
        out[active] = mixed(out[active] ^ taken)
        more = left > _WORD
        active, places, left = active[more], places[more] + _WORD, left[more] - _WORD
    return out
