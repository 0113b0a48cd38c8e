"""What auditors check, offline, from published files."""
