"""The long-running form: cycles by a schedule, one at a time.

It knows when to work, never what the work is.
"""

from exporter.service.serve import Service

__all__ = ["Service"]
