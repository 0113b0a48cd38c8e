"""Guests under Azure's paravisor: a vTPM that a hardware report vouches for, on SNP and on TDX."""
