"""One pass over a table's batches gives its statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporter.statistics.columns import Column
from exporter.statistics.model import Sampling, TableStatistics
from exporter.statistics.sketches import RowSample

if TYPE_CHECKING:
    import pyarrow as pa

    from exporter.statistics.model import StatLimits
    from exporter.statistics.tables import Table

_CELLS = 8_000_000  # values that samples and sketches hold in all; 64 MB each


def compute(table: Table, limits: StatLimits) -> TableStatistics:
    """Describe every column; the same table gives the same value on every machine.

    Shapes: one entry per column, in the table's order, duplicate names kept.
    Limits: rows beyond `limits.rows` are not read, and `sampled` says so. In a table of more than
    some 800 columns samples are smaller than `limits` asks for.
    Memory: a batch, and per column a sample and a sketch.
    Raises: what the reader of the table raises; nothing for odd values.
    """
    width = max(len(table.schema), 1)
    sample = RowSample(max(min(limits.sample_rows, _CELLS // width), 100))
    columns = [Column(field.name, field.type, limits, sample) for field in table.schema]
    cut = False
    for whole in table.batches:
        left = limits.rows - sample.rows
        cut = len(whole) > left
        batch = whole.slice(0, left) if cut else whole
        if len(batch):
            _gather(batch, columns, sample)
        if cut:
            break
    described = tuple(column.result() for column in columns)
    sampled = table.sampled
    if cut and sampled is None:
        sampled = Sampling(sample.rows, None, "first rows")
    return TableStatistics(
        sample.rows, described, table.columns_total, table.size_bytes, sampled, table.name
    )


def _gather(batch: pa.RecordBatch, columns: list[Column], sample: RowSample) -> None:
    picked: tuple[Any, Any] = sample.take(len(batch))  # Any: NumPy arrays
    for place, column in enumerate(columns):
        column.add(batch.column(place), picked)
