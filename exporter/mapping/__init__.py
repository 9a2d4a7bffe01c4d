"""From a run to what a sink should hold. Pure: it knows records, no clock, file or network."""
