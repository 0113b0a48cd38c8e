"""An issue's measures: a table for people, JSON for machines, exit 0 only if all are met."""
