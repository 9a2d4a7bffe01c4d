"""The records of a history: repository → pipelines → runs → steps → artifacts.

Pure: frozen values and functions of them. It knows nothing of databases, MLflow, OpenLineage, files
or clocks.
"""

from exporter.hierarchy.codec import (
    canonical_bytes,
    run_from_value,
    run_to_value,
)
from exporter.hierarchy.identity import UnitKey, history_key, run_key, step_key
from exporter.hierarchy.records import (
    Artifact,
    Content,
    ContentState,
    FileRecord,
    Parameter,
    PipelineRecord,
    Port,
    RunSnapshot,
    Step,
    StepRef,
    UnreadableRun,
)
from exporter.hierarchy.times import iso_from_ms, ms_from_iso
from exporter.hierarchy.values import Value, decode_value, encode_value

__all__ = [
    "Artifact",
    "Content",
    "ContentState",
    "FileRecord",
    "Parameter",
    "PipelineRecord",
    "Port",
    "RunSnapshot",
    "Step",
    "StepRef",
    "UnitKey",
    "UnreadableRun",
    "Value",
    "canonical_bytes",
    "decode_value",
    "encode_value",
    "history_key",
    "iso_from_ms",
    "ms_from_iso",
    "run_from_value",
    "run_key",
    "run_to_value",
    "step_key",
]
