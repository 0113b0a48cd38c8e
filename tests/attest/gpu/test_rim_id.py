"""Names of manifests, as NVIDIA's service has them: names that are published beside captured reports and manifests."""

from __future__ import annotations

import pytest

from attest.gpu.rim_id import driver_rim_id, vbios_rim_id


@pytest.mark.parametrize(
    ("product", "version", "name"),
    [
        ("GH100", "550.90.07", "NV_GPU_DRIVER_GH100_550.90.07"),
        ("GB100", "575.32", "NV_GPU_CC_DRIVER_GB100_575.32"),
        ("GB202", "580.65.06", "NV_GPU_CC_DRIVER_GB202_580.65.06"),
    ],
)
def test_drivers(product: str, version: str, name: str) -> None:
    assert driver_rim_id(product, version) == name


@pytest.mark.parametrize(
    ("kind", "board", "version", "name"),
    [
        ("nvidia-gpu", "1010_0200_882", "96.00.9F.00.01", "NV_GPU_VBIOS_1010_0200_882_96009F0001"),
        ("nvidia-gpu", "g520_0280_886", "97.00.5e.00.01", "NV_GPU_VBIOS_G520_0280_886_97005E0001"),
        ("nvidia-gpu", "1010_0200", "96.00.5E.00.01", ""),
        ("nvidia-switch", "", "96.10.55.00.01", "NV_SWITCH_BIOS_5612_0002_890_9610550001"),
    ],
)
def test_firmware(kind: str, board: str, version: str, name: str) -> None:
    assert vbios_rim_id(kind, board, version) == name
