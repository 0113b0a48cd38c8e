"""Evidence of a paravisor: what a hardware report vouches for, row by row; and the captured evidence."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.anchors import BUILT_IN
from attest.errors import AttestError
from attest.evidence import AzureEvidence, Collateral, read_certificates
from attest.tdx.collateral_json import read_collateral
from attest.verify import inspect_without_binding
from tests.attest.azure.made import NONCE, evidence, judge, td_evidence, td_judge
from tests.attest.refusal import refused
from tests.attest.snp.made import DATA, NOW, hierarchy
from tests.attest.tdx.made import collateral, platform
from tests.makers import azure
from tests.vectors import VECTORS, needs_vectors


def test_authentic() -> None:
    found = judge(evidence())
    assert found.claims.platform == "azure-snp"
    assert found.claims.paravisor is not None
    assert found.claims.paravisor.pcrs == dict(enumerate(azure.PCR_VALUES))
    assert (found.claims.paravisor.nonce, found.claims.paravisor.secure_boot) == (NONCE, True)
    checks = {finding.check for finding in found.findings}
    assert {"AZ_BINDING", "TPM_SIGNATURE", "TPM_PCR", "TPM_NONCE", "SNP_SIGNATURE"} <= checks
    assert "REPORT_DATA_MISMATCH" not in checks


def test_what_was_kept_gives_the_same() -> None:
    first = judge(evidence())
    assert judge(evidence(), kept=first.kept).findings == first.findings


def test_without_binding_it_is_said() -> None:
    maker = hierarchy()
    found = inspect_without_binding(
        evidence(), Collateral(crls=(maker.crl(),)), maker.anchors, now=NOW, revocation="required"
    )
    assert [f.outcome.value for f in found.findings if f.check == "REPORT_DATA_MISMATCH"] == ["skipped"]


def _variable(**changed: object) -> Callable[[], AzureEvidence]:
    return lambda: evidence(variable=azure.variable_data(**changed))


def _key(**changed: Any) -> Callable[[], AzureEvidence]:
    return _variable(keys=[azure.jwk(azure.attestation_key(), **changed)])


def _header(**changed: int) -> Callable[[], AzureEvidence]:
    return lambda: evidence(hcl=changed)


def _blob(change: Callable[[bytes], bytes]) -> Callable[[], AzureEvidence]:
    return lambda: replace(evidence(), hcl_report=change(evidence().hcl_report))


HCL: dict[str, Callable[[], AzureEvidence]] = {
    "empty": _blob(lambda _: b""),
    "cut short": _blob(lambda blob: blob[:1_300]),
    "huge": _blob(lambda blob: blob + bytes(16_384)),
    "another signature": _blob(lambda blob: b"HCLB" + blob[4:]),
    "another version": _header(version=3),
    "another request": _header(request=1),
    "a status": _header(status=1),
    "dirty header": _blob(lambda blob: blob[:20] + b"\1" + blob[21:]),
    "a tail that is not zero": _blob(lambda blob: blob + b"\1"),
    "another hash": _header(hash_type=2),
    "a status of the request": _header(status=2),
    "a report of TrustZone": _header(data_kind=3),
    "a version of the data": _header(data_version=2),
    "a size that does not nest": _header(size=2_600),
    "a data size that does not nest": _header(data_size=100),
    "a length beyond the end": _header(length=100_000),
    "no JSON": lambda: evidence(variable=b"{"),
    "JSON in UTF-16": lambda: evidence(variable=azure.variable_data().decode().encode("utf-16")),
    "JSON in Latin-1": lambda: evidence(variable=azure.variable_data() + b"\xe9"),
    "text behind the JSON": lambda: evidence(variable=azure.variable_data() + b"{}"),
    "a key's member twice": lambda: evidence(
        variable=azure.variable_data().replace(b'"e":"AQAB"', b'"e":"Aw","e":"AQAB"', 1)
    ),
    "deep JSON": lambda: evidence(variable=b"[" * 9_000),
    "a list": lambda: evidence(variable=b"[]"),
    "a member twice": lambda: evidence(variable=b'{"keys":[],"keys":[]}'),
    "no keys": _variable(keys={}),
    "no key of attestation": _variable(keys=[azure.jwk(azure.attestation_key(), "HCLEkPub")]),
    "two keys of attestation": _variable(keys=[azure.jwk(azure.attestation_key())] * 2),
    "a key of another type": _key(kty="EC"),
    "a key for something else": _key(key_ops=["encrypt"]),
    "a key for more": _key(key_ops=["sign", "encrypt"]),
    "a key for nothing": _key(key_ops=None),
    "a modulus behind a zero byte": _key(n="AA" * 300),
    "a report of SNP that says it is one of TDX": _header(data_kind=4),
    "a TDREPORT of another type": lambda: td_evidence(head=b"\x00"),
    "a TDREPORT of a service TD": lambda: td_evidence(head=b"\x81\x01"),
    "a key of 1024 bits": _variable(keys=[azure.jwk(azure.key_of(1_024))]),
    "a key without modulus": _key(n=""),
    "a modulus that is no base64": _key(n="!!"),
    "an exponent of 3": _key(e="Aw"),
    "no configuration": _variable(**{"vm-configuration": []}),
    "user data of 3 bytes": _variable(**{"user-data": "000000"}),
    "user data that is none": _variable(**{"user-data": "zz"}),
}


@pytest.mark.parametrize("case", HCL)
def test_hcl_report(case: str) -> None:
    with refused("AZ_HCL_FORMAT"):
        judge(HCL[case]())


BOOT_DATA = azure.report_data_of(azure.variable_data())
OTHER = azure.variable_data(**{"user-data": "11" * 64})
BINDING: dict[str, Callable[[], AzureEvidence]] = {
    "other variable data": lambda: evidence(variable=OTHER, report_data=azure.report_data_of(azure.variable_data())),
    "a second half": lambda: evidence(report_data=azure.report_data_of(azure.variable_data())[:32] + b"\1" * 32),
    "nothing": lambda: evidence(report_data=bytes(64)),
    "the nonce itself": lambda: evidence(report_data=DATA),
    "a digest in the second half": lambda: evidence(report_data=BOOT_DATA[32:] + BOOT_DATA[:32]),
    "a digest of 48 bytes": lambda: evidence(report_data=hashlib.sha384(azure.variable_data()).digest() + bytes(16)),
    "a digest of the data and the zeros behind it": lambda: evidence(
        report_data=azure.report_data_of(azure.variable_data() + bytes(64))
    ),
}


@pytest.mark.parametrize("case", BINDING)
def test_the_hardware_vouches_for_the_key(case: str) -> None:
    with refused("AZ_BINDING"):
        judge(BINDING[case]())


@pytest.mark.parametrize("level", [1, 2, 3])
def test_only_the_paravisor_vouches(level: int) -> None:
    """A guest that can ask for reports from its own level puts a key of its own into one."""
    with refused("AZ_VMPL"):
        judge(evidence(vmpl=level))


def test_a_tdreport_that_says_it_is_a_report_of_snp() -> None:
    given = td_evidence()
    hcl = azure.hcl_report(given.hcl_report[32:1_216], azure.variable_data(), kind=2)
    with pytest.raises(AttestError):
        judge(replace(evidence(), hcl_report=hcl))


SIGNATURES: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda _: b"",
    "a zero byte before it": lambda signature: b"\0" + signature,
    "a byte behind it": lambda signature: signature + b"\0",
    "a byte less": lambda signature: signature[1:],
    "zero": lambda signature: bytes(len(signature)),
    "one": lambda signature: bytes(len(signature) - 1) + b"\1",
    "a TPMT_SIGNATURE around it": lambda signature: b"\0\x14\0\x0b\1\0" + signature,
    "over SHA-1": lambda _: azure.attestation_key().sign(azure.quote(NONCE).message, PKCS1v15(), hashes.SHA1()),
    "over SHA-512": lambda _: azure.attestation_key().sign(azure.quote(NONCE).message, PKCS1v15(), hashes.SHA512()),
    "by PSS": lambda _: azure.attestation_key().sign(
        azure.quote(NONCE).message, PSS(MGF1(hashes.SHA256()), 32), hashes.SHA256()
    ),
}


@pytest.mark.parametrize("case", SIGNATURES)
def test_signatures(case: str) -> None:
    given = evidence()
    with refused("TPM_SIGNATURE"):
        judge(replace(given, tpm_signature=SIGNATURES[case](given.tpm_signature)))


def test_what_the_quote_says_beside_pcrs_and_nonce_decides_nothing() -> None:
    """Clock, counters, firmware and the signer's name are the TPM's own word, for people; no finding rests on them."""
    found = judge(evidence()).claims.paravisor
    assert found is not None
    assert found.reset_count == 3


QUOTES: dict[str, tuple[Callable[[], azure.Quote], str]] = {
    "an empty nonce": (lambda: azure.quote(b""), "TPM_NONCE"),
    "another nonce": (lambda: azure.quote(bytes(32)), "TPM_NONCE"),
    "the 64 bytes themselves": (lambda: azure.quote(DATA), "TPM_NONCE"),
    "a prefix of the nonce": (lambda: azure.quote(NONCE[:16]), "TPM_NONCE"),
    "another key": (lambda: azure.quote(NONCE, key=azure.key_of(3_072)), "TPM_SIGNATURE"),
    "another magic": (lambda: azure.quote(NONCE, magic=0xFF544348), "TPM_FORMAT"),
    "a certification of a key": (lambda: azure.quote(NONCE, kind=0x8017), "TPM_FORMAT"),
    "a bank of SHA-1": (lambda: azure.quote(NONCE, banks=((0x0004, 3),)), "TPM_FORMAT"),
    "two banks": (lambda: azure.quote(NONCE, banks=((0x000B, 3), (0x000C, 3))), "TPM_FORMAT"),
    "no bank": (lambda: azure.quote(NONCE, banks=()), "TPM_FORMAT"),
    "32 PCRs": (lambda: azure.quote(NONCE, banks=((0x000B, 4),)), "TPM_FORMAT"),
    "a flag of 2": (lambda: azure.quote(NONCE, safe=2), "TPM_FORMAT"),
    "a tail": (lambda: azure.quote(NONCE, tail=b"\0"), "TPM_FORMAT"),
    "a long nonce": (lambda: azure.quote(bytes(67)), "TPM_FORMAT"),
    "no PCR": (lambda: azure.quote(NONCE, selected=()), "TPM_PCR"),
}


@pytest.mark.parametrize("case", QUOTES)
def test_quotes(case: str) -> None:
    made, check = QUOTES[case]
    with refused(check):
        judge(evidence(quote=made()))


PCRS: dict[str, Callable[[tuple[bytes, ...]], tuple[bytes, ...]]] = {
    "one swapped": lambda pcrs: (pcrs[1], pcrs[0], *pcrs[2:]),
    "one dropped": lambda pcrs: pcrs[1:],
    "one more": lambda pcrs: (*pcrs, bytes(32)),
    "one changed": lambda pcrs: (bytes(32), *pcrs[1:]),
    "one of 31 bytes, the next of 33": lambda pcrs: (pcrs[0][:31], pcrs[0][31:] + pcrs[1], *pcrs[2:]),
    "none": lambda _: (),
}


@pytest.mark.parametrize("case", PCRS)
def test_pcrs_are_those_that_were_quoted(case: str) -> None:
    given = evidence()
    with refused("TPM_PCR"):
        judge(replace(given, pcrs=PCRS[case](given.pcrs)))


def test_pcrs_are_numbered_by_the_selection() -> None:
    found = judge(evidence(quote=azure.quote(NONCE, selected=(4, 7, 11)))).claims.paravisor
    assert found is not None
    assert found.pcrs == {number: azure.PCR_VALUES[number] for number in (4, 7, 11)}


def test_a_tdreport_alone_is_never_evidence() -> None:
    data = azure.variable_data()
    tdreport = b"\x81" + bytes(1_023)
    given = replace(evidence(), hcl_report=azure.hcl_report(tdreport, data, kind=4))
    with refused("UNSUPPORTED_EVIDENCE"):
        judge(given)


def test_a_tdreport_is_followed_by_zeros() -> None:
    given = replace(
        evidence(), hcl_report=azure.hcl_report(b"\x81" + bytes(1_023) + b"\1", azure.variable_data(), kind=4)
    )
    with refused("AZ_HCL_FORMAT"):
        judge(given)


# --- TDX ---


def test_a_td_is_authentic() -> None:
    found = td_judge(td_evidence())
    assert found.claims.platform == "azure-tdx"
    assert found.claims.paravisor is not None
    assert found.claims.paravisor.nonce == NONCE
    assert td_judge(td_evidence(), kept=found.kept).findings == found.findings


TDS: dict[str, tuple[Callable[[], AzureEvidence], str]] = {
    "no quote": (lambda: replace(td_evidence(), td_quote=b""), "UNSUPPORTED_EVIDENCE"),
    "certificates of SNP": (lambda: replace(td_evidence(), certificates=(b"x",)), "UNSUPPORTED_EVIDENCE"),
    "a quote beside a report of SNP": (
        lambda: replace(evidence(), td_quote=td_evidence().td_quote), "UNSUPPORTED_EVIDENCE",
    ),
    "a quote over other data": (lambda: td_evidence(report_data=azure.report_data_of(OTHER)), "AZ_BINDING"),
    "a TDREPORT over other data": (lambda: td_evidence(inside=bytes(64)), "AZ_BINDING"),
    "a quote over the nonce": (lambda: td_evidence(report_data=DATA), "AZ_BINDING"),
    "an empty nonce": (
        lambda: replace(td_evidence(), tpm_quote=azure.quote(b"").message, tpm_signature=azure.quote(b"").signature),
        "TPM_NONCE",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TDS)
def test_tds(case: str) -> None:
    made, checks = TDS[case]
    with refused(*checks.split()):
        td_judge(made())


def test_an_enclave_is_no_guest() -> None:
    given = replace(td_evidence(), td_quote=platform().quote(BOOT_DATA, tee="SGX"))
    with refused("TEE_TYPE"):
        td_judge(given, tdx=(collateral(tee="SGX"),))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_flip_is_accepted(data: st.DataObject) -> None:
    """One bit of any part: refused, but in the zeros after the end, where there is none to flip unseen either."""
    whole = evidence()
    part = data.draw(st.sampled_from(["hcl_report", "tpm_quote", "tpm_signature"]))
    changed = bytearray(getattr(whole, part))
    position = data.draw(st.integers(0, len(changed) - 1))
    changed[position] ^= 1 << data.draw(st.integers(0, 7))
    # The signature block of the SNP report has a twin (r, n - s), which one bit never makes.
    given: dict[str, Any] = {part: bytes(changed)}
    with pytest.raises(AttestError):
        judge(replace(whole, **given))


# --- captured evidence ---


def _bytes(value: Any) -> bytes:
    if isinstance(value, list):
        return bytes(value)
    try:
        return bytes.fromhex(value)
    except ValueError:
        return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


def _captured(name: str) -> AzureEvidence:
    assert VECTORS is not None
    folder = VECTORS / "snp/confidential-containers-trustee/az-snp-vtpm"
    found = json.loads((folder / f"{name}.json").read_bytes())
    quote = found.get("tpm_quote") or found["quote"]
    vcek = found["vcek"]
    leaf = read_certificates(vcek.encode() if vcek.startswith("-----") else _bytes(vcek))
    product = "Genoa" if "genoa" in name else "Milan"
    return AzureEvidence(
        hcl_report=_bytes(found.get("hcl_report") or found["report"]),
        tpm_quote=_bytes(quote["message"]),
        tpm_signature=_bytes(quote["signature"]),
        pcrs=tuple(_bytes(pcr) for pcr in quote["pcrs"]),
        certificates=(*leaf, *(each for each in _chain(product) if each not in leaf)),
    )


def _chain(product: str) -> list[bytes]:
    """ASK and ARK, which the evidence does not bring."""
    assert VECTORS is not None
    folder = VECTORS / "snp/virtee-sev/builtin"
    paths = [folder / f"{product.lower()}-{which}.pem" for which in ("ask", "ark")]
    return [each for path in paths for each in read_certificates(path.read_bytes())]


@needs_vectors(4)
@pytest.mark.parametrize(
    ("name", "nonce"),
    [
        ("evidence-v0", b"challenge"),
        ("evidence-v1", b"challenge"),
        ("evidence-v2", None),
        ("evidence-genoa", None),
    ],
)
def test_captured_evidence(name: str, nonce: bytes | None) -> None:
    found = inspect_without_binding(
        _captured(name), Collateral(), BUILT_IN, now=dt.datetime(2026, 3, 1, tzinfo=dt.UTC), revocation="optional"
    )
    assert found.claims.platform == "azure-snp"
    assert found.claims.paravisor is not None
    assert len(found.claims.paravisor.pcrs) == 24
    assert nonce is None or found.claims.paravisor.nonce == nonce
    assert not found.claims.simulated


@needs_vectors(2)
@pytest.mark.parametrize("name", ["evidence-v0", "evidence-v1"])
def test_captured_evidence_of_tds(name: str) -> None:
    assert VECTORS is not None
    found = json.loads((VECTORS / f"tdx/confidential-containers-trustee/az-tdx-vtpm/{name}.json").read_bytes())
    quote = found["tpm_quote"]
    bundle = VECTORS / "tdx/derived/bundles/tdx_00806f050000_platform_20250604_eval17.json"
    given = AzureEvidence(
        hcl_report=_bytes(found["hcl_report"]),
        tpm_quote=_bytes(quote["message"]),
        tpm_signature=_bytes(quote["signature"]),
        pcrs=tuple(_bytes(pcr) for pcr in quote["pcrs"]),
        td_quote=_bytes(found["td_quote"]),
    )
    inspected = inspect_without_binding(
        given,
        Collateral(tdx=(read_collateral(bundle.read_bytes()),)),
        BUILT_IN,
        now=dt.datetime.fromtimestamp(1_750_325_734, dt.UTC),
        revocation="required",
    )
    claims = inspected.claims
    assert (claims.platform, claims.simulated) == ("azure-tdx", False)
    assert claims.paravisor is not None
    assert claims.paravisor.nonce == b"challenge"
    assert claims.tdx is not None
    assert claims.tdx.tcb_verdict.status.name == "OutOfDate"
