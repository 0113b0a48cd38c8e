"""The devices of a node: each verified for the nonce that this request makes, then beside the CPU's claims.

Source: the design of this product, docs/architecture.md, section "Binding". The CPU's evidence commits to the digests
of all devices in the order of the request, so whatever is changed of them after the measured guest collected them
breaks it. `why_unbound` looks for the change that was made, for people: it can only choose a better name for a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import combinations

from attest.anchors import Anchors
from attest.errors import AttestError, NotBound
from attest.evidence import Collateral, DeviceEvidence
from attest.gpu.prove import ProvenDevice, prove_device
from attest.gpu.verify import AuthenticDevice, KeptDevices, judge_device
from attest.profile import Claims

__all__ = [
    "check_presented",
    "judge_devices",
    "prove_devices",
    "verify_devices",
    "why_unbound",
    "with_devices",
    "without_manifests",
]

_NONCE = slice(4, 36)  # of the SPDM request at the start of every report


def check_presented(devices: Sequence[DeviceEvidence], nonce: bytes) -> None:
    """Before any signature is checked: each report says it is over `nonce`, and no evidence comes twice.

    Raises NotBound GPU_NONCE_MISMATCH (evidence of another request, node or time) or DEVICE_DUPLICATE. What passes is
    still unproven.
    """
    for number, device in enumerate(devices):
        got = device.report[_NONCE]
        if got != nonce:
            raise NotBound("GPU_NONCE_MISMATCH", f"devices[{number}].report.nonce", expected=nonce, got=got)
        first = devices.index(device)
        if first != number:
            path = f"devices[{number}]"
            raise NotBound("DEVICE_DUPLICATE", path, expected="each device once", got=f"that of devices[{first}]")


def verify_devices(
    devices: Sequence[DeviceEvidence],
    collateral: Collateral,
    anchors: Anchors,
    *,
    nonce: bytes | None,
    now: datetime,
    revocation_required: bool,
    kept: KeptDevices | None = None,
) -> Iterator[AuthenticDevice]:
    """Verifies one device at each step, so that a caller can do other work between two.

    `prove_devices` and `judge_devices`, device by device; raises as they do.
    """
    proven = prove_devices(devices, anchors, nonce=nonce, now=now, kept=kept)
    yield from judge_devices(proven, collateral, anchors, now=now, revocation_required=revocation_required, kept=kept)


def prove_devices(
    devices: Sequence[DeviceEvidence],
    anchors: Anchors,
    *,
    nonce: bytes | None,
    now: datetime,
    kept: KeptDevices | None = None,
) -> Iterator[ProvenDevice]:
    """What each device's evidence proves by itself, one at each step: nothing has to be at hand for it.

    With `nonce` None they are bound to nothing, which their findings say: for evidence that is looked at again.
    Raises the AttestError of the first that fails, its place prefixed with `devices[n]`; NotBound DEVICE_DUPLICATE for
    a UEID or PDI that was there before.
    """
    kept = kept or KeptDevices()
    seen: dict[bytes, int] = {}
    for number, device in enumerate(devices):
        with _at(number):
            found = prove_device(device, anchors, nonce=nonce, now=now, opaque=kept.opaque, chains=kept.chains)
        for identity in (found.chain.ueid, found.chain.pdi):
            first = seen.setdefault(identity, number)
            if first != number:
                path, got = f"devices[{number}]", f"that of devices[{first}]: {identity.hex()}"
                raise NotBound("DEVICE_DUPLICATE", path, expected="each device once", got=got)
        yield found


def judge_devices(
    proven: Iterable[ProvenDevice],
    collateral: Collateral,
    anchors: Anchors,
    *,
    now: datetime,
    revocation_required: bool,
    kept: KeptDevices | None = None,
) -> Iterator[AuthenticDevice]:
    """What NVIDIA says of each, one at each step. Raises the AttestError of the first that fails, as above."""
    kept = kept or KeptDevices()
    statuses, rims = dict(kept.statuses), dict(kept.rims)  # what one device was verified with serves the next
    known = replace(kept, statuses=statuses, rims=rims)
    for number, device in enumerate(proven):
        with _at(number):
            found = judge_device(
                device, collateral, anchors, now=now, revocation_required=revocation_required, kept=known
            )
        statuses.update((status.der, status) for status in found.statuses)
        rims.update((rim.data, rim) for rim in found.rims)
        yield found


@contextmanager
def _at(number: int) -> Iterator[None]:
    """A failure inside gets the device's place before its own."""
    try:
        yield
    except AttestError as error:
        path = f"devices[{number}].{error.path}"
        raise type(error)(error.check, path, expected=error.expected, got=error.got) from error


def without_manifests(devices: Sequence[AuthenticDevice]) -> bool:
    """Whether any lacks a manifest of its driver or its VBIOS."""
    every = (device.claims for device in devices)
    return any(not d.vbios_manifests or (not d.is_switch and not d.driver_manifests) for d in every)


def with_devices(claims: Claims, devices: Sequence[AuthenticDevice]) -> Claims:
    """The node's claims: those of its CPU, and its devices in request order."""
    return replace(claims, devices=tuple(device.claims for device in devices))


def why_unbound(error: NotBound, digests: Sequence[bytes], bound_of: Callable[[Sequence[bytes]], bytes]) -> NotBound:
    """A better name for REPORT_DATA_MISMATCH, if one change of the devices explains it; else `error` itself.

    `bound_of` gives the 64 bytes for any list of device digests. DEVICE_ADDED: without one of them they are those that
    the guest signed; DEVICE_ORDER: with two of them exchanged. A device that is missing cannot be told from evidence
    that was made for something else.
    """
    if error.check != "REPORT_DATA_MISMATCH":
        return error
    for number in range(len(digests)):
        rest = [*digests[:number], *digests[number + 1 :]]
        if bound_of(rest).hex() == error.got:
            expected = f"the {len(rest)} devices that the guest signed for"
            return NotBound("DEVICE_ADDED", f"devices[{number}]", expected=expected, got="one more")
    for one, two in combinations(range(len(digests)), 2):
        order = list(digests)
        order[one], order[two] = order[two], order[one]
        if bound_of(order).hex() == error.got:
            got = f"devices[{one}] and devices[{two}] exchanged"
            return NotBound("DEVICE_ORDER", "devices", expected="the order that the guest signed for", got=got)
    return error
