"""A plan's forecast, its transaction, and the record of it."""
