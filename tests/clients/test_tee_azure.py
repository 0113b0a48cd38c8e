"""The door to a guest of Azure's paravisor: what it collects is authentic, and what is wrong is said in a sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from attest.evidence import AzureEvidence
from clients.errors import Unavailable
from clients.workload.imds import Imds
from clients.workload.link_local import LinkLocal
from clients.workload.tee import TPM
from clients.workload.tee_azure import HCL_REPORT, AzureGuest
from clients.workload.tee_configfs import ROOT
from clients.workload.tee_find import find_tee
from clients.workload.tee_sev_guest import DEVICE
from clients.workload.tpm import Tpm
from clients.workload.tpm_wire import TpmRefused, TpmWire, Transmit
from tests.attest.azure.made import judge, td_judge
from tests.attest.snp.made import DATA, chip
from tests.attest.tdx.made import platform
from tests.makers import azure, imds
from tests.makers.kernel import FakeKernel
from tests.makers.swtpm import SwTpm, needs_swtpm, running
from tests.makers.vtpm import FakeVtpm, answer

VARIABLE = azure.variable_data()
FIXED = azure.report_data_of(VARIABLE)
SNP = azure.hcl_report(chip().report(FIXED), VARIABLE)
TDX = azure.hcl_report(b"\x81" + bytes(0x7F) + FIXED + bytes(1_024 - 0xC0), VARIABLE, kind=4)


def nobody(_request: bytes) -> bytes:
    return imds.http(b"", 404)


def guest(transmit: Transmit, service: LinkLocal) -> AzureGuest:
    return AzureGuest(Tpm(TpmWire(transmit, sleep=lambda _: None)), Imds(service))


def collect(transmit: Transmit, handler: imds.Handler = nobody, **given: Any) -> AzureEvidence:
    with imds.service(handler, **given) as service:
        return guest(transmit, service).collect(DATA)


def refused(sentence: str) -> Any:
    return pytest.raises(Unavailable, match=sentence)


def test_a_guest_on_snp() -> None:
    found = collect(FakeVtpm(SNP), imds.metadata(chain=chip().certificates))
    assert found.certificates == tuple(chip().certificates)
    claims = judge(found).claims
    assert claims.paravisor is not None
    assert claims.paravisor.pcrs == dict(enumerate(azure.PCR_VALUES))
    assert claims.paravisor.nonce == hashlib.sha256(DATA).digest()


def test_a_guest_on_tdx() -> None:
    found = collect(FakeVtpm(TDX), imds.metadata(quote=lambda fixed: platform().quote(fixed)))
    assert td_judge(found).claims.platform == "azure-tdx"
    assert found.certificates == ()


def test_the_nonce_is_that_of_64_bytes() -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        guest(FakeVtpm(SNP), LinkLocal()).collect(DATA[:32])


OTHER_VARIABLE = azure.variable_data(**{"user-data": "11" * 64})  # as after the guest wrote data of its own
OTHER = azure.hcl_report(chip().report(azure.report_data_of(OTHER_VARIABLE)), OTHER_VARIABLE)


def test_a_report_that_is_made_anew_while_it_is_read_is_read_again() -> None:
    fake = FakeVtpm(SNP)

    def renew(_name: str) -> None:
        if fake.asked.count("NV_Read") == 2:
            fake.report = OTHER

    fake.before = renew
    assert collect(fake).hcl_report == OTHER


def test_a_report_that_never_stands_still() -> None:
    fake = FakeVtpm(SNP)
    fake.before = lambda name: setattr(fake, "report", SNP if fake.asked.count("NV_Read") % 3 == 1 else OTHER)
    with refused("nothing whole in 4 tries: what it signed is not what lies beside it"):
        collect(fake)


def test_pcrs_that_are_extended_before_the_quote_are_read_again() -> None:
    fake = FakeVtpm(SNP)
    fake.before = lambda name: fake.extend(11, bytes(32)) if fake.asked.count("Quote") == 1 and name == "Quote" else 0
    assert collect(fake).pcrs[11] == bytes(32)
    fake.before = lambda name: fake.extend(11, fake.counter.to_bytes(32, "big")) if name == "Quote" else 0
    with refused("PCRs were extended while they were quoted") as caught:
        collect(fake)
    assert caught.value.retry_after is not None


def _spoiled(command: str, change: Callable[[bytes], bytes], report: bytes = SNP) -> FakeVtpm:
    fake = FakeVtpm(report)
    fake.spoil = lambda name, data: change(data) if name == command else data
    return fake


WRONG: dict[str, tuple[Callable[[], FakeVtpm], str]] = {
    "no report": (lambda: FakeVtpm(None), "TPM2_NV_ReadPublic with TPM_RC_HANDLE for handle 1"),
    "no report but bytes": (lambda: FakeVtpm(b"nothing" * 400), "cannot be read: AZ_HCL_FORMAT"),
    "a report cut short": (lambda: FakeVtpm(SNP[:1_500]), "cannot be read: AZ_HCL_FORMAT"),
    "a report of nobody's": (
        lambda: FakeVtpm(azure.hcl_report(chip().report(bytes(64)), VARIABLE)), "what it signed is not",
    ),
    "another type than its hardware": (lambda: FakeVtpm(azure.hcl_report(chip().report(FIXED), VARIABLE, kind=4)),
                                       "AZ_HCL_FORMAT"),
    "a key that was evicted": (lambda: FakeVtpm(SNP, ak=False), "no attestation key at 0x81000003: it was evicted"),
    "another key": (lambda: FakeVtpm(SNP, key=azure.key_of(3_072)), "not the one that the paravisor's report vouches"),
    "a key that signs anything": (lambda: FakeVtpm(SNP, ak_attributes=0x0004_0072), "no restricted signing key"),
    "a key that can leave": (lambda: FakeVtpm(SNP, ak_attributes=0x0005_0070), "no restricted signing key"),
    "what is no quote": (
        lambda: _spoiled("Quote", lambda d: d.replace(b"\xffTCG\x80\x18", b"\xffTCG\x80\x17")),
        "no quote of its PCRs: TPM_FORMAT",
    ),
    "a quote over another nonce": (
        lambda: _spoiled("Quote", lambda _: _quote(bytes(32))), "over another nonce than it was given",
    ),
    "a quote over nothing": (lambda: _spoiled("Quote", lambda _: _quote(b"")), "over another nonce"),
    "lockout": (lambda: _spoiled("Quote", lambda _: answer(b"", code=0x921)), "TPM2_Quote with TPM_RC_LOCKOUT"),
    "ever busy": (lambda: _spoiled("NV_Read", lambda _: answer(b"", code=0x922)), "TPM_RC_RETRY"),
}  # fmt: skip


def _quote(nonce: bytes) -> bytes:
    made = azure.quote(nonce)
    sizes = [len(part).to_bytes(2, "big") + part for part in (made.message, made.signature)]
    return answer(sizes[0] + b"\0\x14\0\x0b" + sizes[1], sessions=True)


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(case: str) -> None:
    clock = iter(range(1_000_000))
    made, sentence = WRONG[case]
    with refused(sentence), imds.service(nobody) as service:
        wire = TpmWire(made(), clock=lambda: float(next(clock)), sleep=lambda _: None)
        AzureGuest(Tpm(wire), Imds(service)).collect(DATA)


# --- the host's metadata service ---


CERTIFICATES: dict[str, imds.Handler] = {
    "none": nobody,
    "no JSON": lambda _: imds.http(b"{"),
    "a list": lambda _: imds.http(b"[]"),
    "no certificate": lambda _: imds.http(b'{"vcekCert": 7, "certificateChain": null}'),
    "no base64": lambda _: imds.http(
        b'{"vcekCert": "-----BEGIN CERTIFICATE-----\\nA\\n-----END CERTIFICATE-----", "certificateChain": ""}'
    ),
    "five": lambda _: imds.certificates([bytes(4)] * 5),
    "a redirect": lambda _: imds.http(b"", 302, "Location: http://127.0.0.1:1/"),
    "too much": lambda _: imds.http(b" " * 200_000),
    "hanging": lambda _: None,
}


@pytest.mark.parametrize("case", CERTIFICATES)
def test_certificates_are_welcome_and_no_more(case: str) -> None:
    assert collect(FakeVtpm(SNP), CERTIFICATES[case], seconds=0.2 if case == "hanging" else 20).certificates == ()


# name: (answer, sentence, whether asking again may help)
QUOTES: dict[str, tuple[imds.Handler, str, bool]] = {
    "too many": (lambda _: imds.http(b"", 429), "status 429", True),
    "not now": (lambda _: imds.http(b"", 503, "Retry-After: 7"), "status 503", True),
    "a failure": (lambda _: imds.http(b"", 500), "status 500", True),
    "not allowed": (lambda _: imds.http(b"", 403), "status 403", False),
    "a redirect": (lambda _: imds.http(b"", 307, "Location: http://127.0.0.1:1/"), "status 307, and is not fol", False),
    "silence": (lambda _: None, r"not answered within 0\.2 s", True),
    "nothing": (lambda _: b"", "gave no answer of HTTP", True),
    "no HTTP": (lambda _: b"SSH-2.0-x\r\n\r\n", "gave no answer of HTTP", True),
    "headers without end": (lambda _: b"HTTP/1.1 200 X\r\n" + b"A: b\r\n" * 99_999, "gave no answer of HTTP", True),
    "half a body": (lambda _: imds.http(b"{}" * 99)[:-50], "broke off", True),
    "a body and more": (lambda _: imds.http(b"{}") + b"more", "broke off", True),
    "a length that is none": (lambda _: b"HTTP/1.1 200 X\r\nContent-Length: -1\r\n\r\n{}", "broke off", True),
    "half a chunk": (lambda _: _chunked(b'{"quote": "AAAA"}')[:-12], "broke off", True),
    "a chunk of no size": (lambda _: _chunked(b"{}").replace(b"\r\n2\r\n", b"\r\nz\r\n"), "broke off", True),
    "a chunk longer than it says": (lambda _: _chunked(b"{}").replace(b"\r\n2\r\n", b"\r\n1\r\n"), "broke off", True),
    "too much": (lambda _: imds.http(b" " * 140_000), "more than 131072 bytes", False),
    "without end": (lambda _: b"HTTP/1.1 200 X\r\n\r\n" + b" " * 200_000, "more than 131072 bytes", False),
    "no JSON": (lambda _: imds.http(b"quote"), "gave no JSON", False),
    "deep JSON": (lambda _: imds.http(b"[" * 100_000), "gave no JSON", False),
    "no UTF-8": (lambda _: imds.http(b'{"quote": "\xff"}'), "gave no JSON", False),
    "a text": (lambda _: imds.http(b'"quote"'), "gave no JSON object", False),
    "no quote": (lambda _: imds.http(b"{}"), "no quote in base64url", False),
    "a number": (lambda _: imds.http(b'{"quote": 7}'), "no quote in base64url", False),
    "no base64url": (lambda _: imds.http(b'{"quote": "a b!"}'), "no quote in base64url", False),
    "an empty quote": (lambda _: imds.http(b'{"quote": ""}'), "a quote of 0 bytes", False),
    "a huge quote": (lambda _: imds.http(b'{"quote": "%s"}' % (b"A" * 100_000)), "a quote of 75000 bytes", False),
}  # fmt: skip


def _chunked(body: bytes) -> bytes:
    chunk = b"%x\r\n%s\r\n" % (len(body), body)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"


@pytest.mark.parametrize("case", QUOTES)
def test_without_a_quote_there_is_no_evidence_of_a_td(case: str) -> None:
    handler, sentence, again = QUOTES[case]
    with refused(sentence) as caught:
        collect(FakeVtpm(TDX), handler, seconds=0.2 if case == "silence" else 20)
    assert (caught.value.retry_after is not None) is again
    assert case != "not now" or caught.value.retry_after == 7


@pytest.mark.parametrize("way", ["chunked", "until it closes"])
def test_a_body_may_come_in_other_ways(way: str) -> None:
    body = b'{"quote": "AAEC"}'
    sent = _chunked(body) if way == "chunked" else b"HTTP/1.1 200 OK\r\n\r\n" + body
    with imds.service(lambda _: sent) as service:
        assert Imds(service).td_quote(bytes(1_024)) == b"\0\1\2"


def test_nobody_there() -> None:
    with imds.service(nobody) as service:
        pass
    with refused("cannot be reached: Connection refused") as caught:
        Imds(service).td_quote(bytes(1_024))
    assert caught.value.retry_after is not None


# --- which door ---


class Machine(FakeKernel):
    """Only these paths exist."""

    def exists(self, path: str) -> bool:
        return path in self.extra


def machine(*paths: str, **given: Any) -> Machine:
    return Machine(lambda data: (chip().report(data), b""), extra=dict.fromkeys(paths, b""), **given)


NO_PROVIDER = {"mkdir": OSError(6, "No such device or address", ROOT)}


def test_a_paravisor_is_found_where_nothing_else_is() -> None:
    fake = FakeVtpm(SNP)
    assert isinstance(find_tee(machine(TPM), transmit=fake), AzureGuest)
    assert fake.asked == ["NV_ReadPublic"]
    found = find_tee(machine(ROOT, TPM, raises=NO_PROVIDER), transmit=FakeVtpm(None))
    with refused("no TEE driver"):
        found.collect(DATA)


def test_the_kernels_own_doors_come_first_and_the_tpm_is_left_alone() -> None:
    fake = FakeVtpm(SNP)
    find_tee(machine(ROOT, TPM), transmit=fake).collect(DATA)
    find_tee(machine(DEVICE, TPM), transmit=fake)
    assert fake.asked == []


def test_a_tpm_is_no_paravisor() -> None:
    with refused(f"the TPM behind {TPM} has no report of Azure's paravisor"):
        find_tee(machine(TPM), transmit=FakeVtpm(None))
    broken = FakeVtpm(None)
    broken.spoil = lambda _name, _data: answer(b"", code=0x100)
    with pytest.raises(TpmRefused, match="TPM_RC_INITIALIZE"):
        find_tee(machine(TPM), transmit=broken)


NAMED: dict[str, tuple[str, tuple[str, ...], str]] = {
    "configfs-tsm that is not there": ("configfs-tsm", (TPM, DEVICE), f"there is no {ROOT}"),
    "sev-guest that is not there": ("sev-guest", (ROOT, TPM), f"there is no {DEVICE}"),
    "no TPM": ("azure", (ROOT, DEVICE), f"there is no {TPM}.* asked through azure"),
    "another TPM": ("azure", (TPM,), "no confidential VM of Azure's"),
}


@pytest.mark.parametrize("case", NAMED)
def test_a_door_that_is_named_is_the_only_one(case: str) -> None:
    door, paths, sentence = NAMED[case]
    with refused(sentence):
        find_tee(machine(*paths), transmit=FakeVtpm(None), door=door)


def test_doors_can_be_named() -> None:
    everything = machine(ROOT, DEVICE, TPM)
    names = {door: type(find_tee(everything, transmit=FakeVtpm(SNP), door=door)).__name__
             for door in ("configfs-tsm", "sev-guest", "azure")}  # fmt: skip
    assert names == {"configfs-tsm": "ConfigfsTsm", "sev-guest": "SevGuest", "azure": "AzureGuest"}


# --- a TPM that we did not write ---


@pytest.fixture(scope="module")
def swtpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwTpm]:
    """With a key at the handle of Azure's, and an HCL report that vouches for it in its NV index."""
    with running(tmp_path_factory.mktemp("vtpm")) as made:
        made.tool("tpm2_evictcontrol", "-C", "o", "-c", "ak.ctx", "0x81000003")
        key = load_pem_public_key((made.folder / "ak.pem").read_bytes())
        assert isinstance(key, RSAPublicKey)
        variable = azure.variable_data(keys=[azure.jwk(key)])
        report = azure.hcl_report(chip().report(azure.report_data_of(variable)), variable)
        (made.folder / "report").write_bytes(report)
        given = ["-C", "o", "-s", str(len(report)), "-a", "ownerread|ownerwrite|authread|authwrite|no_da"]
        made.tool("tpm2_nvdefine", f"{HCL_REPORT:#010x}", *given)
        made.tool("tpm2_nvwrite", f"{HCL_REPORT:#010x}", "-C", "o", "-i", "report")
        yield made


@needs_swtpm(2)
def test_evidence_of_a_real_tpm(swtpm: SwTpm) -> None:
    found = collect(swtpm.transmit, imds.metadata(chain=chip().certificates))
    first = judge(found).claims.paravisor
    swtpm.tool("tpm2_pcrextend", f"4:sha256={'ab' * 32}")
    second = judge(collect(swtpm.transmit, imds.metadata(chain=chip().certificates))).claims.paravisor
    assert first is not None
    assert second is not None
    assert second.pcrs[4] == hashlib.sha256(first.pcrs[4] + b"\xab" * 32).digest()
    assert {number for number in range(24) if first.pcrs[number] != second.pcrs[number]} == {4}


@needs_swtpm(1)
def test_a_real_tpm_whose_owner_has_a_password_or_that_lost_its_key(swtpm: SwTpm, tmp_path: Path) -> None:
    swtpm.tool("tpm2_changeauth", "-c", "owner", "secret")
    assert collect(swtpm.transmit).hcl_report == (swtpm.folder / "report").read_bytes()
    swtpm.tool("tpm2_evictcontrol", "-C", "o", "-P", "secret", "-c", "0x81000003")
    with refused("it was evicted"):
        collect(swtpm.transmit)
