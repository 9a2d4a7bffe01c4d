"""One cycle: changes → plan → apply → record.

It knows sources, sinks and the ledger; never a terminal or a schedule.
"""
