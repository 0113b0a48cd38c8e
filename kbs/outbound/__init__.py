"""The one HTTP client: whatever leaves the machine leaves here."""
