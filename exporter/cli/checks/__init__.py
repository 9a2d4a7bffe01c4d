"""The checks of `doctor`, a module for each kind of part. They look and never write."""

from exporter.cli.checks.check import Check

__all__ = ["Check"]
