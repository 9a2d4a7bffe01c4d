"""Bytes to values: how the artifacts of ZenML and TFX are read back, and which formats are safe.

It knows file formats. It knows nothing of stores, runs, MLflow or policies: bytes come through
`ArtifactFiles`.
"""
