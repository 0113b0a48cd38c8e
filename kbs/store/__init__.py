"""SQLite behind the one write door. `open_store` makes or opens it; nothing else in the product writes."""
