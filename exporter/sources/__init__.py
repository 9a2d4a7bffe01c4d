"""Back ends that answer the `History` port out of other people's stores.

It knows how stores encode their history and how to read them without a trace; it must never know
what becomes of it: no sink, no ledger, no plan.
"""
