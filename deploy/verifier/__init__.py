"""The verifier for auditors who install nothing of ours."""
