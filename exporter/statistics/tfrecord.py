"""TFRecord files without TensorFlow: framed records, their checksums verified.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details": length
(8 bytes, little endian), masked CRC-32C of the length, the record, masked CRC-32C of the record.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from functools import cache
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Array = np.ndarray[Any, Any]  # Any: of any shape

_HEAD = 12
_LARGEST = 256 << 20
_AT_ONCE_RECORDS, _AT_ONCE_BYTES = 4_096, 16 << 20
_POLYNOMIAL = 0x82F63B78
_GZIP = b"\x1f\x8b"


def record_pages(stream: IO[bytes]) -> Iterator[list[bytes]]:
    """Give the records of a file, plain or compressed with gzip, a few thousand at once.

    Raises: ValueError for a checksum that does not fit, EOFError for a file that is cut.
    """
    page: list[bytes] = []
    sums: list[int] = []
    size = 0
    try:
        for record, checksum in _records(_plain(stream)):
            page.append(record)
            sums.append(checksum)
            size += len(record)
            if len(page) >= _AT_ONCE_RECORDS or size >= _AT_ONCE_BYTES:
                _verify(page, sums)
                yield page
                page, sums, size = [], [], 0
    except zlib.error as error:
        raise ValueError(f"the file is not compressed as gzip does: {error}") from error
    if page:
        _verify(page, sums)
        yield page


def masked_checksums(values: Sequence[bytes]) -> list[int]:
    """Give the masked CRC-32C of each value."""
    lengths = np.array([len(value) for value in values], dtype=np.int64)
    data = np.frombuffer(b"".join(values), dtype=np.uint8)
    places = np.cumsum(lengths) - lengths
    sums = np.full(len(values), 0xFFFFFFFF, dtype=np.uint32)
    order = np.argsort(-lengths, kind="stable")  # those still going are always the first ones
    places, lengths = places[order], lengths[order]
    state, table = sums[order], _table()
    going = int(np.count_nonzero(lengths))
    offset = 0
    while going:
        part = state[:going]
        part = table[(part ^ data[places[:going] + offset]) & 0xFF] ^ (part >> 8)
        state[:going] = part
        offset += 1
        while going and lengths[going - 1] <= offset:
            going -= 1
    sums[order] = state ^ 0xFFFFFFFF
    rotated = ((sums >> 15) | (sums << 17)).astype(np.uint64)
    masked: list[int] = ((rotated + 0xA282EAD8) & 0xFFFFFFFF).tolist()
    return masked


def _plain(stream: IO[bytes]) -> IO[bytes] | gzip.GzipFile:
    start = stream.read(len(_GZIP))
    stream.seek(0)
    return gzip.GzipFile(fileobj=stream) if start == _GZIP else stream


def _records(stream: IO[bytes] | gzip.GzipFile) -> Iterator[tuple[bytes, int]]:
    """Read frame by frame; a length is believed only when its own checksum fits."""
    while head := stream.read(_HEAD):
        if len(head) < _HEAD:
            raise EOFError("the file ends inside the head of a record")
        length, checksum = struct.unpack("<QI", head)
        if masked_checksums([head[:8]])[0] != checksum or length > _LARGEST:
            raise ValueError("the length of a record is not what its checksum says")
        body = stream.read(length + 4)
        if len(body) < length + 4:
            raise EOFError("the file ends inside a record")
        yield body[:length], struct.unpack("<I", body[length:])[0]


def _verify(page: list[bytes], sums: list[int]) -> None:
    if masked_checksums(page) != sums:
        raise ValueError("a record is not what its checksum says")


@cache
def _table() -> Array:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table.astype(np.uint32)
