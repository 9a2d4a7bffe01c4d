"""ML Metadata stores, read by SQL: ZenML 0.5–0.13 and TFX 1.0 and later, schemas 6 to 10.

It knows MLMD's tables and how each flavour uses them. It never writes, never migrates, and never
loads the `ml-metadata` library, which refuses old stores or alters them.
"""

from exporter.sources.mlmd.history import PAGE_RUNS, MlmdHistory, open_mlmd
from exporter.sources.mlmd.profiles import (
    FlavourProfile,
    load_profiles,
    profiles_from_documents,
)

__all__ = [
    "PAGE_RUNS",
    "FlavourProfile",
    "MlmdHistory",
    "load_profiles",
    "open_mlmd",
    "profiles_from_documents",
]
