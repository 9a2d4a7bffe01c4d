"""TFRecords and TFX Examples without TensorFlow, beside what TFX wrote and computed."""

from __future__ import annotations

import gzip
import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.stores import TFX
from support.tables import described, files_of

from exporter.errors import CorruptArtifact
from exporter.statistics.describing import describe
from exporter.statistics.examples import _example_class
from exporter.statistics.tfrecord import masked_checksums, record_pages

EXAMPLES = TFX.folder / "pipelines/iris-tfx/CsvExampleGen/examples/1"


def framed(records: list[bytes]) -> bytes:
    out = b""
    for record in records:
        length = struct.pack("<Q", len(record))
        sums = masked_checksums([length, record])
        out += length + struct.pack("<I", sums[0]) + record + struct.pack("<I", sums[1])
    return out


def records_of(raw: bytes) -> list[bytes]:
    return [record for page in record_pages(io.BytesIO(raw)) for record in page]


def example(**features: list[int] | list[float] | list[bytes]) -> bytes:
    made = _example_class()()
    lists = {int: "int64_list", float: "float_list", bytes: "bytes_list"}
    for name, values in features.items():
        feature = made.features.feature[name]
        if values:
            getattr(feature, lists[type(values[0])]).value.extend(values)
    raw: bytes = made.SerializeToString()
    return raw


def test_the_checksum_is_the_one_that_the_standard_gives() -> None:
    # https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4: CRC-32C of 32 zeros is 8a9136aa
    crc = 0x8A9136AA
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    assert masked_checksums([b"\0" * 32, b"x", b"\0" * 32])[::2] == [masked, masked]


def test_files_that_tfx_wrote_are_read() -> None:
    raw = next((EXAMPLES / "Split-train").iterdir()).read_bytes()
    assert len(records_of(raw)) == 107
    assert records_of(gzip.decompress(raw)) == records_of(raw)


@given(st.lists(st.binary(max_size=50), max_size=8), st.data())
def test_records_come_back_and_a_changed_byte_is_noticed(
    records: list[bytes], data: st.DataObject
) -> None:
    raw = framed(records)
    assert records_of(raw) == records
    if raw:
        place = data.draw(st.integers(0, len(raw) - 1))
        changed = bytearray(raw)
        changed[place] ^= data.draw(st.integers(1, 255))
        with pytest.raises((ValueError, EOFError)):
            records_of(bytes(changed))


def test_a_length_that_lies_allocates_nothing() -> None:
    with pytest.raises(ValueError, match="length of a record"):
        records_of(struct.pack("<QI", 2**62, 0))


def test_features_become_columns_one_table_per_split() -> None:
    shards = [
        framed(
            [example(n=[1], f=[0.5], s=[b"a"], many=[1, 2], b=[b"\xff"]), example(n=[], f=[1.5])]
        ),
        framed([example(n=[3], late=[b"x"])]),
    ]
    files = files_of(
        {
            "Split-train/data_tfrecord-00000-of-00002.gz": gzip.compress(shards[0]),
            "Split-train/data_tfrecord-00001-of-00002.gz": gzip.compress(shards[1]),
            "Split-eval/data_tfrecord-00000-of-00001.gz": gzip.compress(b""),
        },
        type_="Examples",
    )
    evaluation, train = described(files).tables
    assert (evaluation.name, evaluation.rows, evaluation.columns) == ("eval", 0, ())
    assert (train.name, train.rows) == ("train", 3)
    found = {column.name: (column.kind, column.nulls) for column in train.columns}
    assert found == {
        "b": ("bytes", 2),
        "f": ("float", 1),
        "late": ("string", 2),
        "many": ("nested", 2),
        "n": ("int", 1),
        "s": ("string", 2),
    }


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\x1f\x8b", id="two bytes"),
        pytest.param(b"\x1f\x8b" + b"\0" * 30, id="zeros"),
        pytest.param(gzip.compress(b"no records at all"), id="text"),
        pytest.param(gzip.compress(framed([b"\xff\xff\xff"])), id="no example"),
        pytest.param(
            gzip.compress(framed([example(x=[1]), example(x=[0.5])])), id="two kinds of one feature"
        ),
        pytest.param(gzip.compress(framed([example(x=[1])]))[:-9], id="cut short"),
    ],
)
def test_what_is_no_example_is_corrupt(raw: bytes) -> None:
    with pytest.raises(CorruptArtifact, match="TFRecord"):
        describe(files_of({"Split-train/data.gz": raw}, type_="Examples"))
