"""Evidence as Confidential Containers' agents send it: the report in JSON, taken apart, with certificates beside it.

Source: confidential-containers/trustee, deps/verifier/src/snp, with the serde form of `AttestationReport` of the crate
`sev`. The bytes that were signed are gone and are put together again here, field by field; whether they are the same
is for the signature to say. A key that is not known is refused, since it would be bytes that are missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from attest.errors import Malformed
from attest.evidence import SnpEvidence, read_certificates
from attest.snp.report import REPORT_SIZE
from attest.snp.tcb import encode

__all__ = ["read_coco"]

_MAX_CERTIFICATES = 16
Writer = Callable[[Any, str, int], bytes]


def read_coco(data: bytes) -> SnpEvidence:
    """The evidence in a JSON document; raises Malformed EVIDENCE_JSON or CERT_MALFORMED."""
    document = _object(_load(data), "evidence", {"attestation_report", "cert_chain"}, {"cert_chain"})
    certificates: list[bytes] = []
    chain = document.get("cert_chain") or []
    if not isinstance(chain, list) or len(chain) > _MAX_CERTIFICATES:
        raise _bad("cert_chain", f"a list of at most {_MAX_CERTIFICATES}", type(chain).__name__)
    for number, entry in enumerate(chain):
        path = f"cert_chain[{number}]"
        found = _object(entry, path, {"cert_type", "data"}, {"cert_type"})
        data_path = f"{path}.data"
        size = len(found["data"]) if isinstance(found["data"], list) else 0
        certificates += read_certificates(_bytes(found["data"], data_path, size), path=data_path)
    return SnpEvidence(report=_report(document["attestation_report"]), certificates=tuple(certificates))


def _load(data: bytes) -> object:
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _bad("evidence", "JSON", str(error)) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _bad("evidence", "each key once", "one of them twice")
    return found


def _bad(path: str, expected: str, got: object) -> Malformed:
    return Malformed("EVIDENCE_JSON", path, expected=expected, got=got)


def _object(value: object, path: str, keys: set[str], optional: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _bad(path, "an object", type(value).__name__)
    unknown, missing = value.keys() - keys, keys - optional - value.keys()
    if unknown or missing:
        raise _bad(path, f"keys {', '.join(sorted(keys))}", f"missing {sorted(missing)}, unknown {sorted(unknown)}")
    return value


def _report(value: object) -> bytes:
    fields = _object(value, "attestation_report", set(_FIELDS), set(_LATER))
    raw = bytearray(REPORT_SIZE)
    for name, (offset, size, write) in _FIELDS.items():
        given = fields.get(name)
        if given is None and name in _LATER:
            continue
        raw[offset : offset + size] = write(given, f"attestation_report.{name}", size)
    return bytes(raw)


def _int(value: Any, path: str, size: int) -> bytes:
    if type(value) is not int or not 0 <= value < 1 << 8 * size:
        raise _bad(path, f"a whole number of {size} bytes", repr(value))
    return value.to_bytes(size, "little")


def _bytes(value: Any, path: str, size: int) -> bytes:
    if not isinstance(value, list) or len(value) != size:
        raise _bad(path, f"a list of {size} bytes", type(value).__name__)
    if not all(type(byte) is int and 0 <= byte <= 255 for byte in value):
        raise _bad(path, "numbers from 0 to 255", "others")
    return bytes(value)


def _tcb(value: Any, path: str, _size: int) -> bytes:
    """With `fmc` it is laid out as Turin's, without it as Milan's and Genoa's."""
    names = {"fmc": "fmc", "bootloader": "bl", "tee": "tee", "snp": "snp", "microcode": "ucode"}
    found = _object(value, path, set(names), {"fmc"})
    parts = {names[key]: _int(part, f"{path}.{key}", 1)[0] for key, part in found.items() if part is not None}
    product = "Turin" if "fmc" in parts else "Milan"
    if len(parts) != len(names) - (product == "Milan"):
        raise _bad(path, "every component", ", ".join(parts))
    return encode(product, parts)


def _firmware(value: Any, path: str, _size: int) -> bytes:
    found = _object(value, path, {"major", "minor", "build"}, set())
    return b"".join(_int(found[name], f"{path}.{name}", 1) for name in ("build", "minor", "major")) + b"\0"


def _signature(value: Any, path: str, _size: int) -> bytes:
    found = _object(value, path, {"r", "s"}, set())
    return _bytes(found["r"], f"{path}.r", 72) + _bytes(found["s"], f"{path}.s", 72)


# name in JSON: (offset, size, how); the order is that of the report's table.
_FIELDS: Mapping[str, tuple[int, int, Writer]] = {
    "version": (0x000, 4, _int),
    "guest_svn": (0x004, 4, _int),
    "policy": (0x008, 8, _int),
    "family_id": (0x010, 16, _bytes),
    "image_id": (0x020, 16, _bytes),
    "vmpl": (0x030, 4, _int),
    "sig_algo": (0x034, 4, _int),
    "current_tcb": (0x038, 8, _tcb),
    "plat_info": (0x040, 8, _int),
    "key_info": (0x048, 4, _int),
    "report_data": (0x050, 64, _bytes),
    "measurement": (0x090, 48, _bytes),
    "host_data": (0x0C0, 32, _bytes),
    "id_key_digest": (0x0E0, 48, _bytes),
    "author_key_digest": (0x110, 48, _bytes),
    "report_id": (0x140, 32, _bytes),
    "report_id_ma": (0x160, 32, _bytes),
    "reported_tcb": (0x180, 8, _tcb),
    "cpuid_fam_id": (0x188, 1, _int),
    "cpuid_mod_id": (0x189, 1, _int),
    "cpuid_step": (0x18A, 1, _int),
    "chip_id": (0x1A0, 64, _bytes),
    "committed_tcb": (0x1E0, 8, _tcb),
    "current": (0x1E8, 4, _firmware),
    "committed": (0x1EC, 4, _firmware),
    "launch_tcb": (0x1F0, 8, _tcb),
    "launch_mit_vector": (0x1F8, 8, _int),
    "current_mit_vector": (0x200, 8, _int),
    "signature": (0x2A0, 144, _signature),
}
_LATER = frozenset({"cpuid_fam_id", "cpuid_mod_id", "cpuid_step", "launch_mit_vector", "current_mit_vector"})
