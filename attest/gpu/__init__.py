"""NVIDIA GPUs and NVSwitches: SPDM measurement reports, device chains, reference integrity manifests, topology."""
