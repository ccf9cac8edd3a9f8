"""A package, so that the system of its fixtures is closed after its last test: one process opens one event store."""
