"""Statistics, schemas and reports of tables.

It knows tables, files of tables and the formats in which statistics and schemas are kept. It knows
nothing of runs, stores, MLflow or when to describe what: `describing` is its door.
"""
