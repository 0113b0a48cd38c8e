"""Workload, operator and auditor: libraries first, the `sealgate` command on top."""
