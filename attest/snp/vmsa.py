"""The first state of a guest's processors, as the monitor sets it and the launch digest measures it.

Sources: AMD64 Architecture Programmer's Manual volume 2 (24593), Table B-4 (the save area) and section 14.1.3 (state
after reset); what each monitor changes was observed on its guests and is recorded in virtee's sev-snp-measure. The
signature of a processor is CPUID Fn0000_0001_EAX (AMD publication 25481), which QEMU leaves in RDX.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from attest.errors import Malformed
from attest.snp.ovmf import PAGE

__all__ = ["BSP_EIP", "VCPU_TYPES", "Machine", "Vmm", "cpu_signature", "svsm_page", "vcpu_signature", "vmsa_page"]

BSP_EIP = 0xFFFF_FFF0
SNP_ACTIVE = 1
_SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs", "gdtr", "ldtr", "idtr", "tr")
_FIELDS: Mapping[str, tuple[int, str]] = {
    "efer": (0x0D0, "<Q"), "cr4": (0x148, "<Q"), "cr0": (0x158, "<Q"), "dr7": (0x160, "<Q"), "dr6": (0x168, "<Q"),
    "rflags": (0x170, "<Q"), "rip": (0x178, "<Q"), "g_pat": (0x268, "<Q"), "rdx": (0x310, "<Q"),
    "sev_features": (0x3B0, "<Q"), "xcr0": (0x3E8, "<Q"), "mxcsr": (0x408, "<I"), "x87_fcw": (0x410, "<H"),
}  # fmt: skip
_ALWAYS: Mapping[str, int] = {
    "efer": 0x1000,  # SVME, set by KVM
    "cr4": 0x40,  # MCE, set by KVM
    "dr7": 0x400,
    "dr6": 0xFFFF_0FF0,
    "rflags": 2,
    "xcr0": 1,
}
_PAT = 0x0007_0406_0007_0406  # the MSR's value after reset: APM volume 2, appendix A.3
_FLAT = 0xFFFF_FFFF


class Vmm(StrEnum):
    """Who launches the guest."""

    QEMU = "qemu"
    EC2 = "ec2"
    GCE = "gce"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reset:
    """In what the monitors differ. `rdx` None is the signature; `cs_bsp` is for processors that start at BSP_EIP."""

    cs: int = 0x9B
    cs_bsp: int = 0x9B
    ss: int = 0x93
    tr: int = 0x8B
    rdx: int | None = 0x600
    g_pat: int = _PAT
    mxcsr: int = 0
    x87_fcw: int = 0


_RESET: Mapping[Vmm, _Reset] = {
    Vmm.QEMU: _Reset(rdx=None, mxcsr=0x1F80, x87_fcw=0x37F),
    Vmm.EC2: _Reset(cs_bsp=0x9A, ss=0x92, tr=0x83),
    Vmm.GCE: _Reset(g_pat=0x0007_0106),
}


def cpu_signature(family: int, model: int, stepping: int) -> int:
    """CPUID Fn0000_0001_EAX; raises Malformed VCPU_TYPE for numbers that it cannot hold."""
    if not (0 <= family <= 0xF + 0xFF and 0 <= model <= 0xFF and 0 <= stepping <= 0xF):
        got = f"family {family}, model {model}, stepping {stepping}"
        raise Malformed("VCPU_TYPE", "vcpu", expected="family, model and stepping of a processor", got=got)
    base, extended = min(family, 0xF), max(family - 0xF, 0)
    return extended << 20 | model >> 4 << 16 | base << 8 | (model & 0xF) << 4 | stepping


# QEMU's models: signature and number of versions. Versions of a model differ in features, never in the signature.
_MODELS: Mapping[str, tuple[int, int]] = {
    "EPYC": (cpu_signature(23, 1, 2), 5),
    "EPYC-Rome": (cpu_signature(23, 49, 0), 5),
    "EPYC-Milan": (cpu_signature(25, 1, 1), 3),
    "EPYC-Genoa": (cpu_signature(25, 17, 0), 2),
    "EPYC-Turin": (cpu_signature(26, 0, 0), 1),
}
VCPU_TYPES: Mapping[str, int] = {
    "EPYC-IBPB": _MODELS["EPYC"][0],
    **{name: signature for name, (signature, _) in _MODELS.items()},
    **{f"{name}-v{n}": signature for name, (signature, count) in _MODELS.items() for n in range(1, count + 1)},
}


def vcpu_signature(vcpu_type: str) -> int:
    """The signature of one of QEMU's processor models; raises Malformed VCPU_TYPE for a name it does not know."""
    found = VCPU_TYPES.get(vcpu_type)
    if found is None:
        raise Malformed("VCPU_TYPE", "vcpu_type", expected=f"one of {', '.join(sorted(_MODELS))}", got=vcpu_type)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What of the virtual machine reaches the digest: monitor, signature of its processors, SEV_FEATURES.

    Only QEMU puts the signature there, so only QEMU needs one. Raises Malformed VCPU_TYPE, GUEST_FEATURES.
    """

    vmm: Vmm = Vmm.QEMU
    signature: int | None = None
    guest_features: int = SNP_ACTIVE

    def __post_init__(self) -> None:
        if self.signature is None and self.vmm is Vmm.QEMU:
            raise Malformed("VCPU_TYPE", "vcpu_type", expected="the type of the processors, for QEMU", got="none")
        if self.signature is not None:
            check_signature(self.signature)
        if not 0 <= self.guest_features < 1 << 64 or not self.guest_features & SNP_ACTIVE:
            expected = "64 bits of SEV_FEATURES with bit 0, SNPActive"
            raise Malformed("GUEST_FEATURES", "guest_features", expected=expected, got=f"{self.guest_features:#x}")


def check_signature(signature: int) -> None:
    """Raises Malformed VCPU_TYPE for what is no signature."""
    if not 0 < signature < 1 << 32:
        raise Malformed("VCPU_TYPE", "signature", expected="32 bits, not all zero", got=f"{signature:#x}")


def vmsa_page(machine: Machine, eip: int) -> bytes:
    """The save area of a processor that starts at `eip` in real mode."""
    reset = _RESET[machine.vmm]
    data, table = (0, 0x93, 0xFFFF, 0), (0, 0, 0xFFFF, 0)
    segments = {
        **dict.fromkeys(("es", "ds", "fs", "gs"), data),
        "cs": (0xF000, reset.cs_bsp if eip == BSP_EIP else reset.cs, 0xFFFF, eip & 0xFFFF_0000),
        "ss": (0, reset.ss, 0xFFFF, 0),
        "gdtr": table,
        "idtr": table,
        "ldtr": (0, 0x82, 0xFFFF, 0),
        "tr": (0, reset.tr, 0xFFFF, 0),
    }
    rdx = machine.signature if reset.rdx is None else reset.rdx
    values = {"cr0": 0x10, "rip": eip & 0xFFFF, "g_pat": reset.g_pat, "rdx": rdx or 0}
    floating = {"mxcsr": reset.mxcsr, "x87_fcw": reset.x87_fcw}
    return _page(segments, {**values, **floating, "sev_features": machine.guest_features})


def svsm_page(signature: int, eip: int) -> bytes:
    """The save area of a processor that starts at `eip` in the SVSM, in protected mode; QEMU alone does this.

    x87_fcw is zero here, unlike without an SVSM: confirmed by digests of real guests.
    """
    data, table = (16, 0xC93, _FLAT, 0), (0, 0, 0xFFFF, 0)
    segments = {
        **dict.fromkeys(("es", "ss", "ds", "fs"), data),
        "cs": (8, 0xC9B, _FLAT, 0),
        "gs": (0, 0x93, 0xFFFF, 0),
        "gdtr": table,
        "idtr": table,
        "ldtr": (0, 0x82, 0xFFFF, 0),
        "tr": (0, 0x8B, 0xFFFF, 0),
    }
    values = {"cr0": 0x11, "rip": eip, "g_pat": _PAT, "rdx": signature, "mxcsr": 0x1F80}
    return _page(segments, {**values, "sev_features": SNP_ACTIVE})


def _page(segments: Mapping[str, tuple[int, int, int, int]], values: Mapping[str, int]) -> bytes:
    page = bytearray(PAGE)
    for number, name in enumerate(_SEGMENTS):
        struct.pack_into("<HHIQ", page, 16 * number, *segments[name])
    for name, value in {**_ALWAYS, **values}.items():
        offset, form = _FIELDS[name]
        struct.pack_into(form, page, offset, value)
    return bytes(page)
