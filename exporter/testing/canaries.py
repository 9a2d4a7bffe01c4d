"""Bytes that tell when somebody executes them, in the formats that loaders execute."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

sung: list[str] = []


def sing(name: str) -> None:
    """Note that a canary was executed."""
    sung.append(name)


class _Canary:
    """Sings when it is unpickled."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> tuple[Any, ...]:  # Any: what pickle takes
        return (sing, (self._name,))


def canaries() -> dict[str, bytes]:
    """Give a canary for each way a file can hold a pickle."""
    return {
        "a pickle": pickle.dumps(_Canary("a pickle")),
        "an old pickle": pickle.dumps(_Canary("an old pickle"), protocol=0),
        "a PyTorch archive": _torch_archive(pickle.dumps(_Canary("a PyTorch archive"), protocol=2)),
        "an array of objects": _object_array(pickle.dumps(_Canary("an array of objects"))),
    }


def _torch_archive(payload: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("archive/data.pkl", payload)
        opened.writestr("archive/version", b"3\n")
        opened.writestr("archive/byteorder", b"little")
    return archive.getvalue()


def _object_array(payload: bytes) -> bytes:
    """Make a `.npy` file of one Python object by its public layout: magic, header, pickle."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    padded = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + payload
