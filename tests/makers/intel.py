"""A throwaway Intel: root, PCK CAs, platforms, quoting enclave, TCB documents and lists, as the real one makes them.

Its keys are made anew in every process and can sign nothing that a production verifier accepts. Whatever is changed is
changed before it is signed, so that a wrong value is genuinely signed; one thing is wrong at a time.

    intel = mint(now=now)
    platform = intel.platform()
    evidence = platform.evidence(report_data, mr_td=...)
    verify(evidence, Collateral(tdx=(intel.collateral(),)), intel.anchors, report_data=report_data, ...)
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from attest.anchors import Anchors, IntelRoot
from attest.evidence import TdxCollateral, TdxEvidence
from tests.makers import quote as quotes

__all__ = ["FMSPC", "Intel", "Issued", "Platform", "Sgx", "key", "mint", "time_text"]

FMSPC = bytes.fromhex("90c06f000000")
COMPONENTS = (3, 3, 2, 2, 4, 1, 0, 5) + (0,) * 8
TDX_COMPONENTS = (5, 0, 2) + (0,) * 13
PCESVN = 13
SGX_ARC = "1.2.840.113741.1.13.1"
QE_SIGNER = {"TDX": "DC9E2A7C6F948F17474E34A7FC43ED030F7C1563F1BABDDF6340C82E0E54A8C5",
             "SGX": "8C4F5775D796503E96137F77C68A829A0056AC8DED70140B081B094490C57BFF"}  # fmt: skip
QE_PRODUCT = {"TDX": 2, "SGX": 1}
CA_NAME = {"platform": "Intel SGX PCK Platform CA", "processor": "Intel SGX PCK Processor CA"}
_DAY = dt.timedelta(days=1)


@functools.cache
def key(label: str) -> ec.EllipticCurvePrivateKey:
    """A throwaway P-256 key for each label."""
    del label
    return ec.generate_private_key(ec.SECP256R1())


def time_text(when: dt.datetime) -> str:
    """As Intel writes a time."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _name(common: str) -> x509.Name:
    rows = [
        (NameOID.COMMON_NAME, common),
        (NameOID.ORGANIZATION_NAME, "Intel Corporation"),
        (NameOID.LOCALITY_NAME, "Santa Clara"),
        (NameOID.STATE_OR_PROVINCE_NAME, "CA"),
        (NameOID.COUNTRY_NAME, "US"),
    ]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in rows])


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def _integer(value: int) -> bytes:
    return _der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    out = bytearray([40 * first + second])
    for arc in rest:
        groups = [arc & 127]
        while arc := arc >> 7:
            groups.append(arc & 127 | 128)
        out += bytes(reversed(groups))
    return _der(6, bytes(out))


def _pair(dotted: str, value: bytes) -> bytes:
    return _der(0x30, _oid(dotted) + value)


@dataclass(frozen=True, kw_only=True)
class Sgx:
    """What a PCK certificate's extension says; `drop` and `twice` are numbers of pairs, `extra` follows them."""

    ppid: bytes = b"\x11" * 16
    components: Sequence[int] = COMPONENTS
    cpusvn: bytes | None = None
    pcesvn: int = PCESVN
    pceid: bytes = bytes(2)
    fmspc: bytes = FMSPC
    sgx_type: int = 1
    instance: bytes = b"\x22" * 16
    flags: tuple[bool, ...] = (True, True, True)
    drop: int = 0
    twice: int = 0
    extra: bytes = b""

    def der(self) -> bytes:
        """The extension's value."""
        tcb = [_pair(f"{SGX_ARC}.2.{n}", _integer(value)) for n, value in enumerate(self.components, 1)]
        tcb.append(_pair(f"{SGX_ARC}.2.17", _integer(self.pcesvn)))
        tcb.append(_pair(f"{SGX_ARC}.2.18", _der(4, self.cpusvn or bytes(self.components))))
        flags = [_pair(f"{SGX_ARC}.7.{n}", _der(1, b"\xff" if on else b"\0")) for n, on in enumerate(self.flags, 1)]
        pairs = {
            1: _der(4, self.ppid),
            2: _der(0x30, b"".join(tcb)),
            3: _der(4, self.pceid),
            4: _der(4, self.fmspc),
            5: _der(10, bytes([self.sgx_type])),
            6: _der(4, self.instance) if self.instance else b"",
            7: _der(0x30, b"".join(flags)) if self.flags else b"",
        }
        found = {n: _pair(f"{SGX_ARC}.{n}", value) for n, value in pairs.items() if value and n != self.drop}
        return _der(0x30, b"".join(found.values()) + found.get(self.twice, b"") + self.extra)


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate that is still to be signed: who it is, by whom, and what it may do. `serial` is its last part."""

    subject: str
    issuer: str
    key: ec.EllipticCurvePrivateKey
    issuer_key: ec.EllipticCurvePrivateKey
    serial: int
    not_before: dt.datetime
    not_after: dt.datetime
    ca: bool = False
    path_length: int | None = None
    signs: bool = False
    sgx: Sgx | None = None
    critical: str = ""

    @functools.cached_property
    def der(self) -> bytes:
        """The certificate."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(self.subject))
            .issuer_name(_name(self.issuer))
            .public_key(self.key.public_key())
            .serial_number(_wide(self.serial))
            .not_valid_before(self.not_before)
            .not_valid_after(self.not_after)
        )
        at_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.issuer_key.public_key())
        for value, critical in (
            (at_issuer, False),
            (x509.CRLDistributionPoints([_point(self.issuer)]), False),
            (x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False),
            (_usage(signs=self.signs), True),
            (x509.BasicConstraints(ca=self.ca, path_length=self.path_length), True),
        ):
            builder = builder.add_extension(value, critical=critical)
        if self.sgx is not None:
            sgx = x509.UnrecognizedExtension(x509.ObjectIdentifier(SGX_ARC), self.sgx.der())
            builder = builder.add_extension(sgx, critical=False)
        if self.critical:
            unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(self.critical), b"\x05\x00")
            builder = builder.add_extension(unknown, critical=True)
        return builder.sign(self.issuer_key, SHA256()).public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return x509.load_der_x509_certificate(self.der).public_bytes(Encoding.PEM)


def _wide(serial: int) -> int:
    """Of twenty bytes, as Intel's are."""
    return (0x5E << 152) + serial


def _point(issuer: str) -> x509.DistributionPoint:
    address = x509.UniformResourceIdentifier(f"https://pcs.example/{issuer.replace(' ', '')}.crl")
    return x509.DistributionPoint(full_name=[address], relative_name=None, reasons=None, crl_issuer=None)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs, content_commitment=not signs, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=signs, crl_sign=signs, encipher_only=False, decipher_only=False,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A machine with a PCK certificate and a quoting enclave."""

    intel: Intel
    ca: str
    pck: Issued

    @property
    def chain(self) -> bytes:
        """Leaf, CA and root, PEM, with the zero byte that ends it in quotes."""
        return self.pck.pem + self.intel.ca(self.ca).pem + self.intel.root.pem

    def quote(
        self,
        report_data: bytes = bytes(64),
        *,
        form: quotes.Form | None = None,
        report: str = "1.0",
        tee: str = "TDX",
        signer: ec.EllipticCurvePrivateKey | None = None,
        **fields: int | bytes,
    ) -> bytes:
        """A quote of a TD in one form of its report, or of an enclave; `fields` are those of the body."""
        form = form or quotes.Form(version=4 if report == "1.0" else 5)
        if tee == "SGX":
            body = quotes.sgx_report(report_data, **fields)
            form = replace(form, tee_type=quotes.SGX if form.tee_type == quotes.TDX else form.tee_type)
        else:
            body = quotes.td_report(report_data, report, **fields)
        if form.certification == (5, b""):
            form = replace(form, certification=(5, self.chain + b"\0"))
        qe = {
            "attributes": 0x11 if tee == "TDX" else 0x15, "mrsigner": bytes.fromhex(QE_SIGNER[tee]),
            "isvprodid": QE_PRODUCT[tee], "isvsvn": 8, "mrenclave": b"\x0e" * 32, **form.qe_fields,
        }  # fmt: skip
        return quotes.build(
            body, replace(form, qe_fields=qe), attestation_key=key("attestation"), pck_key=self.pck.key, signer=signer
        )

    def evidence(self, report_data: bytes = bytes(64), **fields: Any) -> TdxEvidence:
        """A quote as it is sent."""
        return TdxEvidence(quote=self.quote(report_data, **fields))


@dataclass(frozen=True, kw_only=True)
class Intel:
    """The vendor at the time `now`. `changed` replaces values of a certificate by its role."""

    now: dt.datetime
    changed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def but(self, role: str, **changes: Any) -> Intel:
        """The same vendor with something else about the certificate of this role: root, platform, processor, signer."""
        return replace(self, changed={**self.changed, role: {**self.changed.get(role, {}), **changes}})

    def _issue(self, role: str, subject: str, issuer: str, issuer_key: str, serial: int, **more: Any) -> Issued:
        values = {
            "subject": subject,
            "issuer": issuer,
            "key": key(role),
            "issuer_key": key(issuer_key),
            "serial": serial,
            "not_before": self.now - 900 * _DAY,
            "not_after": self.now + 900 * _DAY,
            **more,
            **self.changed.get(role, {}),
        }
        return Issued(**values)

    @functools.cached_property
    def root(self) -> Issued:
        """Intel SGX Root CA."""
        name = "Intel SGX Root CA"
        return self._issue("root", name, name, "root", 1, ca=True, path_length=1, signs=True)

    def ca(self, name: str) -> Issued:
        """The Platform or the Processor CA."""
        return self._cas[name]

    @functools.cached_property
    def _cas(self) -> dict[str, Issued]:
        return {name: self._ca(name) for name in CA_NAME}

    def _ca(self, name: str) -> Issued:
        serial = {"platform": 2, "processor": 3}[name]
        root = "Intel SGX Root CA"
        return self._issue(name, CA_NAME[name], root, "root", serial, ca=True, path_length=0, signs=True)

    @functools.cached_property
    def signer(self) -> Issued:
        """Intel SGX TCB Signing."""
        return self._issue("signer", "Intel SGX TCB Signing", "Intel SGX Root CA", "root", 4)

    def platform(
        self, ca: str = "platform", /, *, number: int = 1, sgx: Sgx | None = None, bare: bool = False, **changes: Any
    ) -> Platform:
        """A machine; `changes` are those of its PCK certificate, which without `bare` has its extension."""
        if sgx is None:
            sgx = Sgx(ppid=hashlib.sha256(bytes([number])).digest()[:16])
        if ca == "processor":
            sgx = replace(sgx, instance=b"", flags=())
        pck = self._issue("pck", "Intel SGX PCK Certificate", CA_NAME[ca], ca, 100 + number, sgx=None if bare else sgx)
        return Platform(intel=self, ca=ca, pck=replace(pck, **changes))

    @functools.cached_property
    def anchors(self) -> Anchors:
        """This root alone, simulated."""
        spki = key("root").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        root = IntelRoot(
            common_name="Intel SGX Root CA", spki_sha256=hashlib.sha256(spki).digest(),
            certificate_sha256=hashlib.sha256(self.root.der).digest(),
            source="made for this test", simulated=True,
        )  # fmt: skip
        return Anchors(amd=(), intel=(root,), simulated=True)

    def level(
        self,
        status: str = "UpToDate",
        *,
        sgx: Sequence[int] = COMPONENTS,
        pcesvn: int = PCESVN,
        tdx: Sequence[int] | None = TDX_COMPONENTS,
        advisories: Sequence[str] = (),
        date: str = "2025-05-14T00:00:00Z",
    ) -> dict[str, Any]:
        """A level of a platform."""
        tcb: dict[str, Any] = {"sgxtcbcomponents": [{"svn": svn} for svn in sgx], "pcesvn": pcesvn}
        if tdx is not None:
            tcb["tdxtcbcomponents"] = [{"svn": svn} for svn in tdx]
        return {"tcb": tcb, "tcbDate": date, "tcbStatus": status} | (
            {"advisoryIDs": list(advisories)} if advisories else {}
        )

    def isv_level(
        self,
        isvsvn: int,
        status: str = "UpToDate",
        *,
        advisories: Sequence[str] = (),
        date: str = "2025-05-14T00:00:00Z",
    ) -> dict[str, Any]:
        """A level of an enclave or a module."""
        return {"tcb": {"isvsvn": isvsvn}, "tcbDate": date, "tcbStatus": status} | (
            {"advisoryIDs": list(advisories)} if advisories else {}
        )

    def module(self, identifier: str = "TDX_01", levels: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        """An identity of TDX modules."""
        return {
            "id": identifier, "mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8,
            "tcbLevels": list(levels) or [self.isv_level(5), self.isv_level(2, "OutOfDate")],
        }  # fmt: skip

    def _dates(self) -> dict[str, Any]:
        start, end = time_text(self.now - _DAY), time_text(self.now + 29 * _DAY)
        return {"issueDate": start, "nextUpdate": end}

    def tcb_info(self, tee: str = "TDX", **changes: Any) -> dict[str, Any]:
        """TCB info, version 3; None as a change leaves a member out."""
        tdx = TDX_COMPONENTS if tee == "TDX" else None
        low = [max(0, svn - 1) for svn in COMPONENTS]
        document: dict[str, Any] = {
            "id": tee, "version": 3, **self._dates(), "fmspc": FMSPC.hex().upper(), "pceId": "0000", "tcbType": 0,
            "tcbEvaluationDataNumber": 20,
            "tdxModule": {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8},
            "tdxModuleIdentities": [self.module("TDX_03", [self.isv_level(3)]), self.module()],
            "tcbLevels": [
                self.level(tdx=tdx),
                self.level("OutOfDate", sgx=low, tdx=tdx, advisories=["INTEL-SA-00960"], date="2023-08-09T00:00:00Z"),
            ],
        }  # fmt: skip
        if tee == "SGX":
            del document["tdxModule"], document["tdxModuleIdentities"]
        return {name: value for name, value in (document | changes).items() if value is not None}

    def qe_identity(self, tee: str = "TDX", **changes: Any) -> dict[str, Any]:
        """The identity of the quoting enclave, version 2."""
        document: dict[str, Any] = {
            "id": "TD_QE" if tee == "TDX" else "QE", "version": 2, **self._dates(), "tcbEvaluationDataNumber": 20,
            "miscselect": "00000000", "miscselectMask": "FFFFFFFF",
            "attributes": "11" + "00" * 15, "attributesMask": "FB" + "FF" * 7 + "00" * 8,
            "mrsigner": QE_SIGNER[tee], "isvprodid": QE_PRODUCT[tee],
            "tcbLevels": [self.isv_level(4), self.isv_level(2, "OutOfDate", advisories=["INTEL-SA-00477"])],
        }  # fmt: skip
        return {name: value for name, value in (document | changes).items() if value is not None}

    def evaluations(self, tee: str, events: Mapping[int, str], **changes: Any) -> dict[str, Any]:
        """The list of TCB recoveries: their dates by number."""
        dates = {name: value for name, value in self._dates().items() if name != "tcbEvaluationDataNumber"}
        numbers = [
            {"tcbEvaluationDataNumber": number, "tcbRecoveryEventDate": at, "tcbDate": at}
            for number, at in events.items()
        ]
        return {"id": tee, "version": 1, **dates, "tcbEvalNumbers": numbers} | changes

    def sign(self, name: str, document: dict[str, Any] | bytes, *, by: str = "signer") -> bytes:
        """The body that Intel would serve: the object under `name`, and the signature over its bytes."""
        raw = document if isinstance(document, bytes) else json.dumps(document, separators=(",", ":")).encode()
        signature = quotes.sign(self.changed.get(by, {}).get("key", key(by)), raw).hex()
        return b'{"%s":%s,"signature":"%s"}' % (name.encode(), raw, signature.encode())

    def crl(
        self,
        issuer: str = "platform",
        *,
        revoked: Sequence[int] = (),
        start: dt.datetime | None = None,
        end: dt.datetime | None = None,
        name: str | None = None,
        signed_by: str | None = None,
        critical: bool = False,
    ) -> bytes:
        """A revocation list of the root or of a CA, DER."""
        names = {"root": "Intel SGX Root CA", **CA_NAME}
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(_name(name or names[issuer]))
            .last_update(start or self.now - _DAY)
            .next_update(end or self.now + 29 * _DAY)
            .add_extension(x509.CRLNumber(1), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(key(signed_by or issuer).public_key()),
                critical=False,
            )
        )
        if critical:
            point = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
            builder = builder.add_extension(point, critical=True)
        for serial in revoked:
            entry = (
                x509.RevokedCertificateBuilder().serial_number(_wide(serial)).revocation_date(self.now - _DAY).build()
            )
            builder = builder.add_revoked_certificate(entry)
        signed = builder.sign(key(signed_by or issuer), SHA256())
        return signed.public_bytes(Encoding.DER)

    def collateral(
        self,
        ca: str = "platform",
        tee: str = "TDX",
        *,
        tcb_info: Mapping[str, Any] | None = None,
        qe_identity: Mapping[str, Any] | None = None,
        **parts: bytes,
    ) -> TdxCollateral:
        """All of it for one family; changes of the two documents are signed, `parts` replace what is made."""
        documents = self.signer.pem + self.root.pem
        made = {
            "tcb_info": self.sign("tcbInfo", self.tcb_info(tee, **(tcb_info or {}))),
            "tcb_info_issuer_chain": documents,
            "qe_identity": self.sign("enclaveIdentity", self.qe_identity(tee, **(qe_identity or {}))),
            "qe_identity_issuer_chain": documents,
            "pck_crl": self.crl(ca),
            "pck_crl_issuer_chain": self.ca(ca).pem + self.root.pem,
            "root_ca_crl": self.crl("root"),
        }
        return TdxCollateral(**(made | parts))


def mint(*, now: dt.datetime) -> Intel:
    """A vendor whose documents are a day old at `now`."""
    return Intel(now=now.replace(microsecond=0))
