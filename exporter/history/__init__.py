"""The history of pipelines as users walk it, over the ports `History` and `ArtifactReader`.

It knows the records and how artifacts are read. It knows no database, no MLflow and no OpenLineage:
a back end that answers the ports is all it takes.
"""
