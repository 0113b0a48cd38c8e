"""`sealgate measure snp`: which measurement to expect, from what is going to be launched. Offline, trusting nothing."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.measure_init import register_init_data
from clients.errors import NotTrusted, Usage

if TYPE_CHECKING:
    from attest.snp.measure import KernelHashes
    from attest.snp.ovmf import Firmware
    from attest.snp.vmsa import Machine
    from clients.cli.main import Doors

__all__ = ["register"]

_MAX_CMDLINE = 1 << 20
_MAX_VALUES = 1_024
_ARGUMENTS = frozenset({"VCPU_TYPE", "VCPU_COUNT", "GUEST_FEATURES", "CMDLINE", "FIRMWARE_DIGEST", "VARS_SIZE"})
_HEX = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,16})")
_COUNTS = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?")
_SNP = """Each number of processors has a digest of its own, since the state of each processor is measured.

With --kernel the digest covers kernel, initrd and command line too, if the firmware takes their hashes and checks them
(EDK2's AmdSev build) and QEMU runs with kernel-hashes=on; without that option QEMU measures none of them. A kernel
without --initrd or --append is measured as booting without them. A line break that ends --append-file is left out.
--vcpu-type is QEMU's -cpu; EC2 and GCE do not measure it. --guest-features is SEV_FEATURES, always hexadecimal.

With --reference-set the output is the draft of a reference set, one value for each number of processors. Registering
it is another command; whatever others can boot too needs --shared.

examples:
  sealgate measure snp --firmware OVMF.fd --kernel vmlinuz --initrd initrd.img --append "console=ttyS0" \\
      --vcpus 4 --vcpu-type EPYC-Milan
  sealgate measure snp --firmware OVMF.fd --kernel vmlinuz --append-file cmdline --vcpus 1-64,96,128 \\
      --vcpu-type EPYC-Genoa-v1 --reference-set tenants/acme/referenceSets/trainer-1-5 > set.json
  sealgate measure snp --firmware ovmf_img.fd --vcpus 2 --vmm ec2 --json
  sealgate measure snp --firmware OVMF_CODE.fd --svsm svsm.bin --vars-size 540672 --vcpus 4 --vcpu-type EPYC-v4
  sealgate measure snp --firmware suffix.fd --firmware-digest 086e... --vcpus 4 --vcpu-signature 0xa00f11

exit codes:
  0 ok   2 usage   4 the firmware is not what firmware must be, or takes no kernel hashes"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What was asked for, once the options fit together."""

    machine: Machine
    counts: frozenset[int]
    kernel: KernelHashes | None
    ahead: bytes | None


def register(subparsers: Any) -> None:
    """Adds the command with `snp` and `init-data`."""
    about = "Computes what evidence will say, from what is going to be launched."
    measure = subparsers.add_parser("measure", help="compute the measurement to expect, offline", description=about)
    kinds = measure.add_subparsers(metavar="WHAT", title="what is measured", required=True)
    snp = kinds.add_parser(
        "snp",
        help="the launch digest of an SEV-SNP guest",
        description="Computes the launch digest of an SEV-SNP guest: MEASUREMENT in its report.",
        epilog=_SNP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_launch(snp)
    _add_machine(snp)
    snp.add_argument("--json", action="store_true", help="print one JSON object, on one line")
    snp.add_argument("--reference-set", metavar="NAME", help="print a reference set of this name")
    snp.add_argument(
        "--shared", action="store_true", help="others can boot this image too; a second fact is then asked"
    )
    snp.set_defaults(run=_snp)
    register_init_data(kinds)


def _add_launch(parser: Any) -> None:
    file: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    parser.add_argument("--firmware", **file, required=True, help="the firmware: an image of OVMF")
    parser.add_argument("--firmware-digest", metavar="HEX", help="a digest of the firmware's pages, computed before")
    parser.add_argument("--kernel", **file, help="the kernel, if it is booted directly")
    parser.add_argument("--initrd", **file, help="its initrd")
    append = parser.add_mutually_exclusive_group()
    append.add_argument("--append", metavar="TEXT", help="its command line")
    append.add_argument("--append-file", **file, help="a file that holds its command line")
    parser.add_argument("--svsm", **file, help="a Coconut-SVSM below the firmware (QEMU only); needs --vars-size")
    parser.add_argument("--vars-size", type=int, metavar="BYTES", help="the size of the image of UEFI variables")


def _add_machine(parser: Any) -> None:
    parser.add_argument("--vcpus", required=True, metavar="N[,N...|A-B]", help="how many processors: 4 or 1,2,8-16")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--vcpu-type", metavar="TYPE", help="the processors' model in QEMU, such as EPYC-Milan")
    kind.add_argument("--vcpu-signature", metavar="HEX", help="or its signature, CPUID Fn0000_0001_EAX")
    parser.add_argument("--vmm", choices=["qemu", "ec2", "gce"], default="qemu", help="who launches (default: qemu)")
    parser.add_argument("--guest-features", default="1", metavar="HEX", help="SEV_FEATURES (default: 1, SNPActive)")


def _snp(args: argparse.Namespace, _doors: Doors) -> int:
    from attest.snp.measure import firmware_digest, measured_parts  # noqa: PLC0415
    from attest.snp.ovmf import MAX_FIRMWARE, read_firmware  # noqa: PLC0415

    _check_together(args)
    with _sentences(args.firmware):
        asked = _asked(args)
        firmware = read_firmware(_read(args.firmware, MAX_FIRMWARE))
        found = _with_svsm(args, firmware, asked) if args.svsm is not None else _digests(firmware, asked)
    covers = measured_parts(asked.kernel)
    if args.reference_set is not None:
        document = _reference_set(args, found, covers)
        print(json.dumps(document) if args.json else json.dumps(document, indent=1, sort_keys=True))
    elif args.json:
        ahead = firmware_digest(firmware) if asked.ahead is None else asked.ahead
        print(json.dumps({**_facts(asked.machine, covers, args.svsm is not None, ahead), "values": _values(found)}))
    else:
        print("\n".join(f"{count}  {digest.hex()}" for count, digest in found.items()))
    return 0


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """A refusal of what stands on the command line is Usage; of what is in the file at `path`, NotTrusted."""
    from attest.errors import AttestError  # noqa: PLC0415

    try:
        yield
    except AttestError as error:
        sentence = f"{error.path}: expected {error.expected}, got {error.got}"
        if error.check in _ARGUMENTS:
            raise Usage(sentence) from error
        raise NotTrusted(error.check, f"{path}: {sentence}") from error


def _check_together(args: argparse.Namespace) -> None:
    """Options that cannot be meant together, each a sentence."""
    booted = [name for name in ("initrd", "append", "append_file") if getattr(args, name) is not None]
    if booted and args.kernel is None:
        raise Usage(f"--{booted[0].replace('_', '-')} needs --kernel: without a kernel nothing of it is measured")
    if args.shared and args.reference_set is None:
        raise Usage("--shared needs --reference-set")
    if args.reference_set == "":
        raise Usage("--reference-set needs a name")
    if (args.svsm is None) != (args.vars_size is None):
        raise Usage("--svsm and --vars-size need each other")
    if args.svsm is None:
        return
    with_svsm = {
        "--kernel": args.kernel is not None,
        "--firmware-digest": args.firmware_digest is not None,
        "--guest-features other than 1": _number(args.guest_features, "--guest-features") != 1,
        f"--vmm {args.vmm}": args.vmm != "qemu",
    }
    for option, given in with_svsm.items():
        if given:
            raise Usage(f"{option} cannot be measured with --svsm")


def _asked(args: argparse.Namespace) -> _Asked:
    from attest.snp.launch import check_counts  # noqa: PLC0415
    from attest.snp.vmsa import Machine, Vmm, vcpu_signature  # noqa: PLC0415

    signature = None
    if args.vcpu_type is not None:
        signature = vcpu_signature(args.vcpu_type)
    elif args.vcpu_signature is not None:
        signature = _number(args.vcpu_signature, "--vcpu-signature")
    features = _number(args.guest_features, "--guest-features")
    counts = check_counts(_counts(args.vcpus))
    if args.reference_set is not None and len(counts) > _MAX_VALUES:
        raise Usage(f"a reference set holds at most {_MAX_VALUES} values, --vcpus asks for {len(counts)}")
    return _Asked(
        machine=Machine(vmm=Vmm(args.vmm), signature=signature, guest_features=features),
        counts=counts,
        kernel=_kernel(args),
        ahead=None if args.firmware_digest is None else _digest(args.firmware_digest),
    )


def _kernel(args: argparse.Namespace) -> KernelHashes | None:
    """The hashes of what is booted directly. Files are hashed as they are read, for an initrd may be large."""
    from attest.snp.measure import KernelHashes, hash_cmdline  # noqa: PLC0415

    if args.kernel is None:
        return None
    if args.append_file is not None:
        cmdline = _read(args.append_file, _MAX_CMDLINE)
        cmdline = cmdline.removesuffix(b"\n").removesuffix(b"\r")
    else:
        cmdline = (args.append or "").encode("utf-8", "surrogateescape")
    initrd = hashlib.sha256(b"").digest() if args.initrd is None else _sha256(args.initrd)
    return KernelHashes(kernel=_sha256(args.kernel), initrd=initrd, cmdline=hash_cmdline(cmdline))


def _digests(firmware: Firmware, asked: _Asked) -> Mapping[int, bytes]:
    from attest.snp.measure import launch_digests  # noqa: PLC0415

    return dict(launch_digests(firmware, asked.machine, asked.counts, kernel=asked.kernel, ahead=asked.ahead))


def _with_svsm(args: argparse.Namespace, firmware: Firmware, asked: _Asked) -> Mapping[int, bytes]:
    from attest.snp.measure import place_svsm, svsm_launch_digests  # noqa: PLC0415
    from attest.snp.ovmf import MAX_FIRMWARE  # noqa: PLC0415

    with _sentences(args.svsm):
        svsm = place_svsm(_read(args.svsm, MAX_FIRMWARE), firmware, vars_size=args.vars_size)
        return dict(svsm_launch_digests(firmware, svsm, asked.counts, signature=asked.machine.signature or 0))


def _facts(machine: Machine, covers: tuple[str, ...], svsm: bool, ahead: bytes) -> dict[str, Any]:
    signature = machine.signature
    return {
        "vmm": machine.vmm.value,
        "svsm": svsm,
        "vcpu_signature": None if signature is None else f"{signature:#x}",
        "guest_features": f"{machine.guest_features:#x}",
        "covers": list(covers),
        "firmware_digest": ahead.hex(),
    }


def _values(found: Mapping[int, bytes]) -> list[dict[str, Any]]:
    return [{"vcpus": count, "measurement": digest.hex()} for count, digest in found.items()]


def _reference_set(args: argparse.Namespace, found: Mapping[int, bytes], covers: tuple[str, ...]) -> dict[str, Any]:
    """What `attest.reference.ReferenceSet` reads, with the name, state and `shared` of `sealgate.reference-set/1`."""
    kind = args.vcpu_type or args.vcpu_signature
    machine = kind if args.vmm == "qemu" else args.vmm
    prefix = f"svsm-{machine}" if args.svsm is not None else machine
    values = [{"name": f"{prefix}-{each['vcpus']}vcpu", "covers": list(covers), **each} for each in _values(found)]
    return {"name": args.reference_set, "state": "active", "shared": args.shared, "values": values}


def _counts(text: str) -> frozenset[int]:
    """`4`, `1,2,8` and `1-64`, in any mixture."""
    found: set[int] = set()
    for part in text.split(","):
        match = _COUNTS.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise Usage(f"--vcpus takes numbers and ranges such as 4 or 1,2,8-16, not {text[:80]}")
        found.update(range(first, last + 1))
    return frozenset(found)


def _number(text: str, option: str) -> int:
    match = _HEX.fullmatch(text)
    if match is None:
        raise Usage(f"{option} takes a hexadecimal number such as 0x1, not {text[:80]}")
    return int(match[1], 16)


def _digest(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise Usage(f"--firmware-digest is not hexadecimal: {text[:80]}") from error


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise Usage(f"{path} is larger than {limit} bytes")
    return data


def _sha256(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from error
