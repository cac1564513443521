"""Public names that have no row in the table of ops, and where they are tested instead."""

EXEMPT = {}
