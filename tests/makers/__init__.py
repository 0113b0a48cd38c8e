"""Throwaway vendors that mint any evidence, right or wrong in one chosen way. The code under test is the real one."""
