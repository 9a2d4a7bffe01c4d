"""The version of this distribution, read by hatchling and by `pipeline-exporter version`."""

__version__ = "0.1.0"
