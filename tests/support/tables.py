"""Tables as artifacts: files in memory, and the statistics of frames."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from exporter.hierarchy import Artifact
from exporter.materializers.files import ArtifactFiles
from exporter.statistics.compute import compute
from exporter.statistics.describing import TableDescription, describe
from exporter.statistics.model import ColumnStatistics, StatLimits, TableStatistics
from exporter.statistics.tables import Table
from support.fake_history import FakeArtifacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIMITS = StatLimits()


def files_of(
    stored: Mapping[str, bytes], type_: str = "DataArtifact", data_type: str | None = None
) -> ArtifactFiles:
    """Give an artifact that holds these files."""
    artifact = Artifact("1", type_, "/data/port/1", data_type=data_type)
    return ArtifactFiles(FakeArtifacts({artifact.uri: stored}), artifact)


def parquet(frame: pd.DataFrame | pa.Table, **options: Any) -> ArtifactFiles:
    """Give an artifact as ZenML writes a frame."""
    stream = io.BytesIO()
    if isinstance(frame, pd.DataFrame):
        frame.to_parquet(stream, compression="gzip", **options)
    else:
        pq.write_table(frame, stream, **options)
    return files_of({"df.parquet.gzip": stream.getvalue()})


def npy(array: np.ndarray[Any, Any], *, allow_pickle: bool = False) -> ArtifactFiles:
    """Give an artifact as NumPy saves an array."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return files_of({"data.npy": stream.getvalue()})


def described(files: ArtifactFiles, limits: StatLimits = LIMITS) -> TableDescription:
    """Describe an artifact that is a table."""
    found = describe(files, limits=limits)
    assert found is not None
    return found


def statistics_of(files: ArtifactFiles, limits: StatLimits = LIMITS) -> TableStatistics:
    """Describe an artifact that is one table."""
    (table,) = described(files, limits).tables
    return table


def column_of(
    values: pa.Array, limits: StatLimits = LIMITS, cuts: Sequence[int] = ()
) -> ColumnStatistics:
    """Describe one column, which comes in batches cut at these places."""
    whole = pa.record_batch([values], names=["x"])
    bounds = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    batches = [whole.slice(low, high - low) for low, high in itertools.pairwise(bounds)]
    table = compute(Table(whole.schema, iter(batches), 1, "table"), limits)
    return table.columns[0]
