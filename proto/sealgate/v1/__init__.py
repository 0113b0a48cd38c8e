"""The wire: generated messages and services of sealgate.v1."""
