"""Meters and ceilings: how much may leave before somebody looks."""
