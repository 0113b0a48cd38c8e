"""A throwaway AMD: roots, intermediates, chips and reports, byte for byte as the real one makes them.

Its root keys are made anew in every process and can sign nothing that a production verifier accepts. Any field of a
report can be set, and a report is signed after that, so that a wrong field is genuinely signed; the same goes for
certificates and revocation lists.

    amd = mint("Milan", now=now)
    chip = amd.chip()
    evidence = chip.evidence(report_data, measurement=..., policy=0x30000)
    verify(evidence, Collateral(crls=(amd.crl(),)), amd.anchors, report_data=report_data, ...)
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from attest.anchors import AmdRoot, Anchors
from attest.evidence import SnpEvidence
from attest.snp.tcb import encode

__all__ = ["FIELDS", "Amd", "Authority", "Chip", "anchors_of", "authority", "cert_table", "mint", "sign_report"]

PSS = padding.PSS(padding.MGF1(SHA384()), 48)
ARC = "1.3.6.1.4.1.3704.1"
SPL = {"bl": 1, "tee": 2, "snp": 3, "ucode": 8, "fmc": 9}
TCB = {
    "Milan": {"bl": 4, "tee": 0, "snp": 24, "ucode": 219},
    "Genoa": {"bl": 10, "tee": 0, "snp": 23, "ucode": 84},
    "Turin": {"fmc": 1, "bl": 1, "tee": 1, "snp": 4, "ucode": 81},
}
GUIDS = {
    "VCEK": bytes.fromhex("63da758de6644564adc5f4b93be8accd"),
    "VLEK": bytes.fromhex("a8074bc2a25a483eaae639c045a0b8a1"),
    "ASK": bytes.fromhex("4ab7b379bbac4fe4a02f05aef327c782"),
    "ARK": bytes.fromhex("c0b406a4a80349529743" + "3fb6014cd0ae"),
    "CRL": bytes.fromhex("92f81bc358114d3d97ffd19f88dc67ea"),
}
_CPUID = {"Milan": (0x19, 0x01, 1), "Genoa": (0x19, 0x11, 1), "Turin": (0x1A, 0x02, 1)}
_HWID = {"Milan": 64, "Genoa": 64, "Turin": 8}
_SERIAL = {"Milan": 0x10000, "Genoa": 0x20000, "Turin": 0x30000}
_DAY = dt.timedelta(days=1)
_ANY_SERIAL = 0x5EA1_6A7E

# name: (offset, size); integers are written little-endian. AMD publication 56860, table ATTESTATION_REPORT.
FIELDS: Mapping[str, tuple[int, int]] = {
    "version": (0x000, 4),
    "guest_svn": (0x004, 4),
    "policy": (0x008, 8),
    "family_id": (0x010, 16),
    "image_id": (0x020, 16),
    "vmpl": (0x030, 4),
    "signature_algo": (0x034, 4),
    "current_tcb": (0x038, 8),
    "platform_info": (0x040, 8),
    "key_info": (0x048, 4),
    "reserved_4c": (0x04C, 4),
    "report_data": (0x050, 64),
    "measurement": (0x090, 48),
    "host_data": (0x0C0, 32),
    "id_key_digest": (0x0E0, 48),
    "author_key_digest": (0x110, 48),
    "report_id": (0x140, 32),
    "report_id_ma": (0x160, 32),
    "reported_tcb": (0x180, 8),
    "cpuid": (0x188, 3),
    "reserved_18b": (0x18B, 21),
    "chip_id": (0x1A0, 64),
    "committed_tcb": (0x1E0, 8),
    "current_version": (0x1E8, 4),
    "committed_version": (0x1EC, 4),
    "launch_tcb": (0x1F0, 8),
    "launch_mit_vector": (0x1F8, 8),
    "current_mit_vector": (0x200, 8),
    "reserved_208": (0x208, 152),
}


def der_integer(value: int) -> bytes:
    """An INTEGER in DER."""
    raw = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return bytes([2, len(raw)]) + raw


def der_ia5(text: str) -> bytes:
    """An IA5String in DER."""
    return bytes([0x16, len(text)]) + text.encode("ascii")


def _name(common: str) -> x509.Name:
    rows = [
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Engineering"),
        (NameOID.COUNTRY_NAME, "US"),
        (NameOID.LOCALITY_NAME, "Santa Clara"),
        (NameOID.STATE_OR_PROVINCE_NAME, "CA"),
        (NameOID.ORGANIZATION_NAME, "Advanced Micro Devices"),
        (NameOID.COMMON_NAME, common),
    ]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in rows])


@functools.cache
def rsa_key(label: str) -> rsa.RSAPrivateKey:
    """A throwaway RSA key for each label. 2048 bits: a root is pinned by its key, so no verifier asks for its size."""
    del label
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


@dataclass(frozen=True, kw_only=True)
class Authority:
    """A certificate authority: its key and its certificate, in DER."""

    common_name: str
    key: rsa.RSAPrivateKey
    der: bytes

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def certificate(  # all that can be wrong with one
    subject: str,
    issuer: str,
    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    signer: rsa.RSAPrivateKey,
    *,
    not_before: dt.datetime,
    not_after: dt.datetime,
    serial: int = 0,
    ca: bool | None = None,
    path_length: int | None = None,
    cert_sign: bool = True,
    extensions: Mapping[str, bytes] | None = None,
    critical: Sequence[str] = (),
    rename: tuple[bytes, bytes] | None = None,
    pss: bool = True,
) -> bytes:
    """A certificate in DER. `serial` may be 0, as AMD's is; `rename` replaces bytes before it is signed for good."""
    builder = x509.CertificateBuilder(
        _name(issuer), _name(subject), public_key, serial or _ANY_SERIAL, not_before, not_after
    )
    if ca is not None:
        basic = x509.BasicConstraints(ca=ca, path_length=path_length if ca else None)
        usage = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "encipher_only", "decipher_only"), False
        )  # fmt: skip
        builder = builder.add_extension(basic, critical=True)
        builder = builder.add_extension(
            x509.KeyUsage(key_cert_sign=cert_sign, crl_sign=not cert_sign or path_length is None, **usage),
            critical=True,
        )
    for oid, value in (extensions or {}).items():
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
        builder = builder.add_extension(unknown, critical=oid in critical)
    made = builder.sign(signer, SHA384(), rsa_padding=PSS if pss else None)
    der, tbs = made.public_bytes(Encoding.DER), made.tbs_certificate_bytes
    if serial and rename is None:
        return der
    old, new = rename or (b"", b"")
    changed = tbs if serial else _zero_serial(tbs)
    changed = changed.replace(old, new) if old else changed
    return _sign_again(der, tbs, changed, made.signature, signer)


def _zero_serial(tbs: bytes) -> bytes:
    """The same bytes with serial 0, in as many bytes: the builder refuses what AMD does."""
    serial = der_integer(_ANY_SERIAL)
    at = tbs.index(serial)
    shorter = tbs[4:at] + der_integer(0) + tbs[at + len(serial) :]
    return b"\x30\x82" + len(shorter).to_bytes(2, "big") + shorter


def _sign_again(der: bytes, tbs: bytes, changed: bytes, old: bytes, signer: rsa.RSAPrivateKey) -> bytes:
    signature = signer.sign(changed, PSS, SHA384())
    body = der[4:].replace(tbs, changed).replace(old, signature)
    return b"\x30\x82" + len(body).to_bytes(2, "big") + body


def authority(
    common: str,
    issuer: Authority | None,
    *,
    now: dt.datetime,
    serial: int,
    key: rsa.RSAPrivateKey | None = None,
    ca: bool = True,
    path_length: int | None = None,
    cert_sign: bool = True,
    not_before: dt.datetime | None = None,
    not_after: dt.datetime | None = None,
    **changed: object,
) -> Authority:
    """A root (no issuer) or an intermediate."""
    key = key or rsa_key(common)
    der = certificate(
        common,
        issuer.common_name if issuer else common,
        key.public_key(),
        issuer.key if issuer else key,
        not_before=not_before or now - 900 * _DAY,
        not_after=not_after or now + 9_000 * _DAY,
        serial=serial,
        ca=ca,
        path_length=path_length,
        cert_sign=cert_sign,
        **changed,  # type: ignore[arg-type]
    )
    return Authority(common_name=common, key=key, der=der)


def healthy(product: str, *, version: int, kind: str, chip_id: bytes, tcb: Mapping[str, int]) -> dict[str, int | bytes]:
    """What a healthy report says."""
    raw = encode(product, tcb)
    fields: dict[str, int | bytes] = {
        "version": version,
        "policy": 0x30000,
        "signature_algo": 1,
        "current_tcb": raw,
        "platform_info": 0x25,
        "key_info": 0 if kind == "VCEK" else 1 << 2,
        "report_id": hashlib.sha256(chip_id + kind.encode()).digest(),
        "report_id_ma": b"\xff" * 32,
        "reported_tcb": raw,
        "chip_id": chip_id,
        "committed_tcb": raw,
        "current_version": bytes([29, 55, 1, 0]),
        "committed_version": bytes([29, 55, 1, 0]),
        "launch_tcb": raw,
    }
    if version >= 3:
        fields["cpuid"] = bytes(_CPUID[product])
    if version >= 5:
        fields |= {"launch_mit_vector": 0x3F, "current_mit_vector": 0x3F}
    return fields


def pack(fields: Mapping[str, int | bytes]) -> bytes:
    """The 672 signed bytes."""
    raw = bytearray(0x2A0)
    for name, value in fields.items():
        offset, size = FIELDS[name]
        data = value.to_bytes(size, "little") if isinstance(value, int) else value.ljust(size, b"\0")
        if len(data) != size:
            raise ValueError(f"{name} has {size} bytes, not {len(data)}")
        raw[offset : offset + size] = data
    return bytes(raw)


def sign(key: ec.EllipticCurvePrivateKey, signed: bytes) -> bytes:
    """The report whose signed bytes are these."""
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(SHA384())))
    return signed + r.to_bytes(72, "little") + s.to_bytes(72, "little") + bytes(368)


def sign_report(
    key: ec.EllipticCurvePrivateKey,
    product: str,
    *,
    chip_id: bytes,
    fields: Mapping[str, int | bytes],
    version: int = 3,
    kind: str = "VCEK",
    tcb: Mapping[str, int] | None = None,
) -> bytes:
    """A signed report; every field of `FIELDS` can be set, and integers as well as bytes are taken."""
    base = healthy(product, version=version, kind=kind, chip_id=chip_id, tcb=tcb or TCB[product])
    return sign(key, pack({**base, **fields}))


def anchors_of(product: str, ark: bytes, *, simulated: bool = True) -> Anchors:
    """Anchors with one simulated root, from its certificate in DER."""
    spki = (
        x509.load_der_x509_certificate(ark).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    root = AmdRoot(
        product=product,
        spki_sha256=hashlib.sha256(spki).digest(),
        certificate_sha256=hashlib.sha256(ark).digest(),
        source="tests/makers/amd.py",
        simulated=simulated,
    )
    return Anchors(amd=(root,), simulated=simulated)


@dataclass(frozen=True, kw_only=True)
class Chip:
    """One processor (or under a VLEK one provider) with its key and certificates."""

    amd: Amd
    kind: str
    key: ec.EllipticCurvePrivateKey
    certificate: bytes
    chip_id: bytes
    tcb: Mapping[str, int]

    @property
    def certificates(self) -> tuple[bytes, bytes, bytes]:
        """(VCEK or VLEK, ASK or ASVK, ARK), DER."""
        intermediate = self.amd.ask if self.kind == "VCEK" else self.amd.asvk
        return self.certificate, intermediate.der, self.amd.ark.der

    def report(self, report_data: bytes = bytes(64), *, version: int = 3, **fields: int | bytes) -> bytes:
        """A signed report; every field of `FIELDS` can be set, and integers as well as bytes are taken."""
        return sign_report(
            self.key,
            self.amd.product,
            chip_id=self.chip_id,
            fields={"report_data": report_data, **fields},
            version=version,
            kind=self.kind,
            tcb=self.tcb,
        )

    def sign(self, signed: bytes) -> bytes:
        """The report whose signed bytes are these."""
        return sign(self.key, signed)

    def evidence(self, report_data: bytes = bytes(64), *, version: int = 3, **fields: int | bytes) -> SnpEvidence:
        """A report with all certificates."""
        return SnpEvidence(report=self.report(report_data, version=version, **fields), certificates=self.certificates)


@dataclass(frozen=True, kw_only=True)
class Amd:
    """One product's hierarchy."""

    product: str
    now: dt.datetime
    ark: Authority
    ask: Authority
    asvk: Authority

    @property
    def anchors(self) -> Anchors:
        """This hierarchy's root alone, marked as simulated."""
        return anchors_of(self.product, self.ark.der)

    def reissued(self, which: str, **changed: object) -> Amd:
        """The same, with the certificate of `ark`, `ask` or `asvk` issued anew and in some way differently."""
        old: Authority = getattr(self, which)
        arguments: dict[str, object] = {
            "now": self.now,
            "serial": _SERIAL[self.product] + {"ark": 0, "ask": 1, "asvk": 0x101}[which],
            "key": old.key,
            "path_length": None if which == "ark" else 0,
        }
        signer = changed.pop("issuer", None if which == "ark" else self.ark)
        common = str(changed.pop("common", old.common_name))
        made = authority(common, signer, **{**arguments, **changed})  # type: ignore[arg-type]
        return replace(self, **{which: made})  # type: ignore[arg-type]

    def crl(
        self,
        revoked: Sequence[int] = (),
        *,
        this_update: dt.datetime | None = None,
        next_update: dt.datetime | None = None,
        signer: Authority | None = None,
        issuer: Authority | None = None,
        critical: bool = False,
    ) -> bytes:
        """A revocation list by the root, DER."""
        issuer = issuer or self.ark
        builder = x509.CertificateRevocationListBuilder(
            _name(issuer.common_name), this_update or self.now - _DAY, next_update or self.now + 180 * _DAY
        )
        for serial in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(self.now - _DAY)
            builder = builder.add_revoked_certificate(entry.build())
        if critical:
            builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
        crl = builder.sign((signer or self.ark).key, SHA384(), rsa_padding=PSS)
        return crl.public_bytes(Encoding.DER)

    def extensions(
        self, kind: str, hwid: bytes, tcb: Mapping[str, int], csp_id: str = "CN=cc-us-east-2.example.com"
    ) -> dict[str, bytes]:
        """What AMD writes into a VEK certificate, by OID."""
        stated = {"Milan": "Milan-B0"}.get(self.product, self.product) if kind == "VCEK" else self.product
        values = {f"{ARC}.1": der_integer(1 if self.product == "Turin" else 0), f"{ARC}.2": der_ia5(stated)}
        values |= {f"{ARC}.3.{SPL[name]}": der_integer(value) for name, value in tcb.items()}
        spare = (5, 6, 7) if self.product == "Turin" else (4, 5, 6, 7)
        values |= {f"{ARC}.3.{number}": der_integer(0) for number in spare}
        return values | ({f"{ARC}.4": hwid} if kind == "VCEK" else {f"{ARC}.5": der_ia5(csp_id)})

    def chip(  # all that can be wrong with one
        self,
        number: int = 1,
        *,
        kind: str = "VCEK",
        tcb: Mapping[str, int] | None = None,
        chip_id: bytes | None = None,
        subject: str | None = None,
        issuer: Authority | None = None,
        csp_id: str = "CN=cc-us-east-2.example.com",
        change: Mapping[str, bytes | None] | None = None,
        ca: bool | None = None,
        curve: ec.EllipticCurve | None = None,
        key: ec.EllipticCurvePrivateKey | None = None,
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        **changed: object,
    ) -> Chip:
        """A chip of this product; `change` sets extensions by OID, or with None removes them."""
        tcb = dict(tcb or TCB[self.product])
        hwid = chip_id or struct.pack(">Q", number) * (_HWID[self.product] // 8)
        key = key or ec.generate_private_key(curve or ec.SECP384R1())
        issuer = issuer or (self.ask if kind == "VCEK" else self.asvk)
        extensions = {**self.extensions(kind, hwid, tcb, csp_id), **(change or {})}
        der = certificate(
            subject or f"SEV-{kind}",
            issuer.common_name,
            key.public_key(),
            issuer.key,
            not_before=not_before or self.now - 30 * _DAY,
            not_after=not_after or self.now + 2_000 * _DAY,
            ca=ca,
            extensions={oid: value for oid, value in extensions.items() if value is not None},
            **changed,  # type: ignore[arg-type]
        )
        reported = hwid if kind == "VCEK" else b""
        return Chip(amd=self, kind=kind, key=key, certificate=der, chip_id=reported.ljust(64, b"\0"), tcb=tcb)

    @staticmethod
    def mint(product: str = "Milan", *, now: dt.datetime) -> Amd:
        """As the function of this module."""
        return mint(product, now=now)


def mint(product: str = "Milan", *, now: dt.datetime) -> Amd:
    """A hierarchy of one product whose certificates are valid around `now`; keys are made once in a process."""
    whole = now.replace(microsecond=0)
    serial = _SERIAL[product]
    ark = authority(f"ARK-{product}", None, now=whole, serial=serial)
    ask = authority(f"SEV-{product}", ark, now=whole, serial=serial + 1, path_length=0)
    asvk = authority(f"SEV-VLEK-{product}", ark, now=whole, serial=serial + 0x101, path_length=0)
    return Amd(product=product, now=whole, ark=ark, ask=ask, asvk=asvk)


def cert_table(entries: Sequence[tuple[str | bytes, bytes]]) -> bytes:
    """The certificate table of an extended report: (name in GUIDS or 16 bytes, data) in order."""
    offset = 24 * (len(entries) + 1)
    header, data = b"", b""
    for guid, der in entries:
        raw = GUIDS[guid] if isinstance(guid, str) else guid
        header += raw + struct.pack("<II", offset + len(data), len(der))
        data += der
    return header + bytes(24) + data
