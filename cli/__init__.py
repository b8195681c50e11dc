"""The command `contox-ingest`."""
