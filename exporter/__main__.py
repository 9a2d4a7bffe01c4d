"""`python -m exporter` is `pipeline-exporter`."""

from exporter.cli import main

main()
