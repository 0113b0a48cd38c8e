"""The log: bodies of entries, the places they get, the checkpoint over them, and what is published of it."""
