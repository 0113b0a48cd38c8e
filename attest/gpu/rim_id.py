"""What NVIDIA's RIM service calls the manifests that a device needs.

Source: NVIDIA, "RIM ID Naming Convention", and nvtrust, `verifier/cc_admin_utils`. A name only says what to ask for:
the service has answered with a validly signed manifest of another product, so what comes is known by its own word.
"""

from __future__ import annotations

from attest.gpu.report import SWITCH

__all__ = ["driver_rim_id", "vbios_rim_id"]

_SWITCH_BOARD = "5612_0002_890"  # an LS10 reports no board; NVIDIA's own tools have this one
_BOARD_PARTS = 3


def driver_rim_id(product: str, version: str) -> str:
    """The name of a driver's manifest for a chip as it is reported (GH100, GB100, GB202)."""
    kind = "DRIVER" if product == "GH100" else "CC_DRIVER"
    return f"NV_GPU_{kind}_{product}_{version}"


def vbios_rim_id(kind: str, board: str, version: str) -> str:
    """The name of a VBIOS's manifest; empty for firmware that does not report its whole board."""
    plain = version.replace(".", "").upper()
    if kind == SWITCH:
        return f"NV_SWITCH_BIOS_{_SWITCH_BOARD}_{plain}"
    if len(board.split("_")) != _BOARD_PARTS:
        return ""
    return f"NV_GPU_VBIOS_{board.upper()}_{plain}"
