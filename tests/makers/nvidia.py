"""A throwaway NVIDIA: roots, identity CAs, GPUs, NVSwitches and their reports, byte for byte as the real ones.

Its root keys are made anew in every process and can sign nothing that a production verifier accepts. Any field of a
report can be set, and a report is signed after that, so that a wrong field is genuinely signed; the same goes for
certificates, revocation lists and OCSP responses. Manifests are made in tests/makers/nvidia_rim.py.

    vendor = mint(now=now)
    gpu = vendor.device("GH100")
    evidence = gpu.evidence(nonce, opaque={36: b"\\x02\\0"})
    verify_device(evidence, Collateral(crls=vendor.crls()), vendor.anchors, nonce=nonce, ...)
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from attest.anchors import Anchors, NvidiaRoot
from attest.evidence import DeviceEvidence

__all__ = ["DRIVER_INDICES", "VBIOS_INDICES", "Authority", "Device", "Nvidia", "anchors_of", "hgx", "measured", "mint"]

DRIVER_INDICES = (7, *range(21, 41))
VBIOS_INDICES = (*range(7), *range(8, 13))
DRIVER, VBIOS, SWITCH_BIOS = "570.172.08", "96.00.A5.00.01", "96.10.55.00.01"
_FOREVER = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
_OCSP_URL = "http://ocsp.example"
_GPU_VBIOS = bytes.fromhex("00a5009601000000")
_FAMILIES = {"GH100": ("GSP", "GH100"), "GB100": ("GSP", "GB100"), "GB20X": ("GSP", "GB20X"), "LS_10": ("FSP", "GH100")}
_COUNTER = itertools.count(1)
Extension = tuple[x509.ExtensionType, bool]


@dataclass(frozen=True, kw_only=True, repr=False)
class Authority:
    """A key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def name(common: str, serial: str = "") -> x509.Name:
    rows = [(NameOID.ORGANIZATION_NAME, "NVIDIA Corporation"), (NameOID.COMMON_NAME, common)]
    rows += [(NameOID.SERIAL_NUMBER, serial)] if serial else []
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in rows])


def usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def sources(*, crl: bool = True) -> list[Extension]:
    """Where revocation is published, as provisioners and identity CAs say it."""
    description = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(_OCSP_URL))
    found: list[Extension] = [(x509.AuthorityInformationAccess([description]), False)]
    if crl:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier("http://crl.example")], None, None, None)
        found.append((x509.CRLDistributionPoints([point]), False))
    return found


def certify(
    subject: x509.Name,
    issuer: Authority | None,
    *,
    since: dt.datetime,
    until: dt.datetime = _FOREVER,
    ca: bool = True,
    path_length: int | None = None,
    serial: int | None = None,
    extra: Sequence[Extension] = (),
    key: ec.EllipticCurvePrivateKey | None = None,
    digest: SHA256 | None = None,
) -> Authority:
    """A certificate of a fresh key, by `issuer` or by itself."""
    key = key or ec.generate_private_key(ec.SECP384R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(usage(ca=ca), critical=True)
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    return Authority(key=key, certificate=builder.sign(issuer.key if issuer else key, digest or SHA384()))


def _der(tag: int, body: bytes) -> bytes:
    head = bytes([len(body)]) if len(body) < 128 else bytes([0x81, len(body)])
    return bytes([tag]) + head + body


def fwid_extension(fwid: bytes, spki: bytes, *, dice: bool) -> Extension:
    """The firmware identifier, in RIoT's form or in that of DiceTcbInfo."""
    digest = _der(0x30, _der(0x06, bytes.fromhex("608648016503040202")) + _der(0x04, fwid))
    if dice:
        empty = _der(0x30, _der(0x06, bytes.fromhex("608648016503040202")) + _der(0x04, bytes(48)))
        value = _der(0x30, _der(0x80, b"NVIDIA") + _der(0x81, b"A01 GSP") + _der(0xA6, digest + empty))
    else:
        value = _der(0x30, _der(0x02, b"\1") + spki + digest)
    oid = x509.ObjectIdentifier("2.23.133.5.4.1.1" if dice else "2.23.133.5.4.1")
    return x509.UnrecognizedExtension(oid, value), False


def measured(index: int, *, chip: str = "GH100") -> bytes:
    """The golden value of a measurement, the same for all devices of a design."""
    return hashlib.sha384(f"{chip} {index}".encode()).digest()


def tlv(fields: Mapping[int, bytes | None]) -> bytes:
    """Opaque data; a field that is None is left out."""
    return b"".join(struct.pack("<HH", kind, len(value)) + value for kind, value in fields.items() if value is not None)


@dataclass(frozen=True, kw_only=True, repr=False)
class Device:
    """A GPU or NVSwitch: its chain, its PDI, and reports of it. `wired` are opaque fields that name other devices."""

    chip: str
    chain: tuple[Authority, ...]
    pdi: bytes
    fwid: bytes
    wired: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return "nvidia-switch" if self.chip == "LS_10" else "nvidia-gpu"

    @property
    def pem(self) -> bytes:
        return b"".join(each.certificate.public_bytes(Encoding.PEM) for each in self.chain)

    @property
    def ueid(self) -> bytes:
        return self.chain[0].certificate.serial_number.to_bytes(20, "big")

    def fields(self) -> dict[int, bytes]:
        """The opaque fields of an ordinary report."""
        if self.chip == "LS_10":
            fixed = {6: SWITCH_BIOS.encode(), 22: self.pdi, 12: bytes(108), 23: b"\xec\0", 24: b"\0\0", 25: b"\1\0"}
            return {**fixed, 26: bytes(128), **self.wired}
        blackwell = {} if self.chip == "GH100" else {33: b"\7\7", 35: self.chip.replace("X", "2").encode() + b"\0"}
        hopper = {21: b"\x55"} if self.chip == "GH100" else {}
        return {
            6: _GPU_VBIOS, 14: b"\xb1\x03\0\0", 15: b"882".ljust(9, b"\0"), 16: b"0\0", 17: b"1010\0", 18: b"0200\0",
            19: b"\0\0", 3: DRIVER.encode() + b"\0", 4: bytes.fromhex("8001000000000000"), 12: bytes(256),
            13: bytes(4), 11: b"\x55", 20: self.fwid, **hopper, **blackwell, 34: b"\1\0", 36: b"\0\0", **self.wired,
        }  # fmt: skip

    def measurements(self) -> list[bytes]:
        if self.chip == "LS_10":
            return [measured(index, chip=self.chip) for index in range(31)]
        used = {*DRIVER_INDICES, *VBIOS_INDICES}
        return [measured(index, chip=self.chip) if index in used else bytes(48) for index in range(64)]

    def report(
        self,
        nonce: bytes,
        *,
        opaque: Mapping[int, bytes | None] | None = None,
        raw_opaque: bytes | None = None,
        measurements: Mapping[int, bytes] | None = None,
        patch: Mapping[int, bytes] | None = None,
        trailing: bytes = b"",
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> bytes:
        """A signed report. `patch` replaces bytes at offsets before it is signed."""
        values = self.measurements()
        for index, value in (measurements or {}).items():
            values[index] = value
        blocks = b"".join(
            bytes([index + 1]) + bytes.fromhex("013300013000") + value for index, value in enumerate(values)
        )
        fields = tlv({**self.fields(), **(opaque or {})}) if raw_opaque is None else raw_opaque
        head = bytes.fromhex("11e001ff") + nonce + bytes.fromhex("0011600000") + bytes([len(values)])
        body = head + len(blocks).to_bytes(3, "little") + blocks + hashlib.sha256(nonce).digest()
        signed = bytearray(body + struct.pack("<H", len(fields)) + fields)
        for offset, replacement in (patch or {}).items():
            signed[offset : offset + len(replacement)] = replacement
        signer = key or self.chain[0].key
        r, s = decode_dss_signature(signer.sign(bytes(signed), ec.ECDSA(SHA384())))
        return bytes(signed) + r.to_bytes(48, "big") + s.to_bytes(48, "big") + trailing

    def evidence(self, nonce: bytes, **fields: object) -> DeviceEvidence:
        return DeviceEvidence(kind=self.kind, report=self.report(nonce, **fields), chain=self.pem)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True, repr=False)
class Nvidia:
    """The vendor: two roots, an identity CA and a provisioner for each design, and the manifests' authorities."""

    now: dt.datetime
    root: Authority
    identities: Mapping[str, Authority]
    provisioners: Mapping[str, Authority]
    rim_root: Authority
    rim_authority: Authority
    rim_issuer: Authority
    rim_signer: Authority

    @property
    def anchors(self) -> Anchors:
        roots = anchors_of(self.root.certificate, self.rim_root.certificate)
        return Anchors(amd=(), nvidia=roots, simulated=True)

    def device(
        self,
        chip: str = "GH100",
        *,
        pdi: bytes | None = None,
        ueid: int | None = None,
        fwid: bytes | None = None,
        names: Mapping[int, str] | None = None,
        leaf_extra: Sequence[Extension] = (),
        leaf_ca: bool = False,
        wired: Mapping[int, bytes] | None = None,
    ) -> Device:
        """A device with a chain of its own; `names` replaces common names of leaf (0) and identity key (1)."""
        number = next(_COUNTER)
        pdi = pdi or hashlib.sha256(f"pdi {number}".encode()).digest()[:8]
        ueid = ueid or int.from_bytes(hashlib.sha1(f"ueid {number}".encode()).digest(), "big") | 1 << 158
        ueid &= (1 << 159) - 1
        fwid = fwid or hashlib.sha384(chip.encode()).digest()
        engine, _ = _FAMILIES[chip]
        names = {0: f"{chip} A01 {engine} FMC LF", 1: f"{chip} A01 {engine} BROM", **(names or {})}
        since = self.now - dt.timedelta(days=400)
        serial = int.from_bytes((b"\x50" if chip == "LS_10" else b"\x41") + pdi, "big")
        blackwell = chip.startswith("GB")
        identity_key = certify(
            name(names[1], f"{serial:018X}"), self.provisioners[chip], since=since, serial=serial,
            extra=sources(crl=False) if blackwell else (),
        )  # fmt: skip
        key = ec.generate_private_key(ec.SECP384R1())
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        leaf = certify(
            name(names[0], f"{ueid:040X}"), identity_key, since=since, serial=ueid, ca=leaf_ca, key=key,
            extra=[fwid_extension(fwid, spki, dice=blackwell), *leaf_extra],
        )  # fmt: skip
        chain = (leaf, identity_key, self.provisioners[chip], self.identities[_FAMILIES[chip][1]], self.root)
        return Device(chip=chip, chain=chain, pdi=pdi, fwid=fwid, wired=wired or {})

    def crl(
        self,
        issuer: Authority,
        revoked: Mapping[int, x509.ReasonFlags | None] | None = None,
        *,
        since: dt.datetime | None = None,
        days: float = 60,
        key: ec.EllipticCurvePrivateKey | None = None,
        extra: Sequence[Extension] = (),
    ) -> bytes:
        """A list of `issuer`'s; certificates by serial with a reason, or none."""
        since = since or self.now - dt.timedelta(hours=1)
        builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
        builder = builder.last_update(since).next_update(since + dt.timedelta(days=days))
        for serial, reason in (revoked or {}).items():
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
            entry = entry.add_extension(x509.CRLReason(reason), critical=False) if reason else entry
            builder = builder.add_revoked_certificate(entry.build())
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(key or issuer.key, SHA384()).public_bytes(Encoding.DER)

    def crls(self) -> tuple[bytes, ...]:
        """Current, empty lists of every CA of device and manifest chains that issues CAs."""
        issuers = (self.root, *self.identities.values(), self.rim_root, self.rim_authority, self.rim_issuer)
        return tuple(self.crl(issuer) for issuer in issuers)

    def ocsp(
        self,
        subject: Authority,
        issuer: Authority,
        status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
        reason: x509.ReasonFlags | None = None,
        *,
        since: dt.datetime | None = None,
        hours: float | None = 24,
        responder: Authority | None = None,
        attached: Sequence[Authority] = (),
        algorithm: HashAlgorithm | None = None,
    ) -> bytes:
        """A response about one certificate, by its issuer or by `responder`."""
        since = since or self.now - dt.timedelta(hours=1)
        revoked = status is ocsp.OCSPCertStatus.REVOKED
        signer = responder or issuer
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=subject.certificate,
            issuer=issuer.certificate,
            algorithm=algorithm or SHA1(),
            cert_status=status,
            this_update=since,
            next_update=None if hours is None else since + dt.timedelta(hours=hours),
            revocation_time=since if revoked else None,
            revocation_reason=reason,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
        if responder or attached:
            builder = builder.certificates([each.certificate for each in attached or [signer]])
        return builder.sign(signer.key, SHA384()).public_bytes(Encoding.DER)

    def responder(self, issuer: Authority, *, purpose: bool = True, days: float = 30) -> Authority:
        """A certificate of `issuer`'s for signing OCSP responses."""
        extra: list[Extension] = [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)] if purpose else []
        since = self.now - dt.timedelta(days=1)
        return certify(name("OCSP"), issuer, since=since, until=since + dt.timedelta(days=days), ca=False, extra=extra)


def anchors_of(device: x509.Certificate, rim: x509.Certificate) -> tuple[NvidiaRoot, ...]:
    """Simulated roots of these certificates."""
    return tuple(
        NvidiaRoot(
            role=role,
            common_name="simulated",
            subject=root.subject.public_bytes(),
            spki=root.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            certificate_sha256=None,
            source="tests/makers/nvidia.py",
            simulated=True,
        )
        for role, root in (("device", device), ("rim", rim))
    )


def mint(*, now: dt.datetime) -> Nvidia:
    """A vendor whose certificates are valid at `now`."""
    since = now - dt.timedelta(days=500)
    root = certify(name("NVIDIA Device Identity CA"), None, since=since)
    identities = {
        chip: certify(name(f"NVIDIA {chip} Identity"), root, since=since, extra=sources())
        for chip in ("GH100", "GB100", "GB20X")
    }
    titles = {"GH100": "GH100", "GB100": "GB100", "GB20X": "GB202", "LS_10": "LS_10"}
    provisioners = {
        chip: certify(
            name(f"NVIDIA {title} Provisioner ICA 1"), identities[_FAMILIES[chip][1]], since=since, extra=sources()
        )
        for chip, title in titles.items()
    }
    rim_root = certify(name("NVIDIA CoRIM signing Root CA"), None, since=since)
    rim_authority = certify(name("NVIDIA Reference Value CA"), rim_root, since=since, extra=sources())
    rim_issuer = certify(
        name("NVIDIA Reference Value L3"), rim_authority, since=since, path_length=0, extra=sources(crl=False)
    )
    rim_signer = certify(
        name("HCC RIM L4 Signer"), rim_issuer, since=now - dt.timedelta(days=100), ca=False,
        until=now + dt.timedelta(days=600), extra=sources(crl=False),
    )  # fmt: skip
    return Nvidia(
        now=now, root=root, identities=identities, provisioners=provisioners, rim_root=rim_root,
        rim_authority=rim_authority, rim_issuer=rim_issuer, rim_signer=rim_signer,
    )  # fmt: skip


def hgx(vendor: Nvidia) -> tuple[Device, ...]:
    """8 Hopper GPUs and 4 NVSwitches in PPCIE mode that name each other."""
    seed = next(_COUNTER)
    gpus = [hashlib.sha256(f"gpu {seed} {n}".encode()).digest()[:8] for n in range(8)]
    switches = [hashlib.sha256(f"switch {seed} {n}".encode()).digest()[:8] for n in range(4)]
    links = b"".join(switches[n % 4][::-1] for n in range(18))
    attached = b"".join(gpus) + bytes(64)
    ppcie = {21: b"\xaa", 22: links, 36: b"\2\0"}
    return (
        *(vendor.device("GH100", pdi=pdi, wired=ppcie) for pdi in gpus),
        *(vendor.device("LS_10", pdi=pdi, wired={26: attached}) for pdi in switches),
    )
