"""A fake PCS, or PCCS, of a throwaway Intel: Intel's PCS API version 4 over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit

from tests.makers.intel import Intel
from tests.makers.vendor_http import Answer

__all__ = ["ROOT_CRL", "FakePcs"]

ROOT_CRL = "/sgx/certification/v4/rootcacrl"


class FakePcs:
    """Answers for one platform family. `tcb` and `identity` change the documents; with `pccs` lists are hexadecimal.

    `early_tcb` and `early_identity` are the changes of what is announced, if anything is; `events` are the dates of TCB
    recoveries by their number; `certificates` are PCK certificates (PEM) by the query that asks for them.
    """

    def __init__(self, intel: Intel, *, pccs: bool = False) -> None:
        self.intel = intel
        self.tcb: dict[str, object] = {}
        self.identity: dict[str, object] = {}
        self.early_tcb: dict[str, object] | None = None
        self.early_identity: dict[str, object] | None = None
        self.events: dict[int, str] = {}
        self.certificates: dict[str, bytes] = {}
        self._pccs = pccs
        self._lists = {issuer: intel.crl(issuer) for issuer in ("root", "platform", "processor")}

    def __call__(self, path: str, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(path)
        table: dict[tuple[str, str], Callable[[], Answer]] = {}
        for tee in ("TDX", "SGX"):
            place = f"/{tee.lower()}/certification/v4"
            table[f"{place}/tcb", "fmspc=90C06F000000"] = lambda tee=tee: self._tcb(tee)  # type: ignore[misc]
            table[f"{place}/qe/identity", ""] = lambda tee=tee: self._qe(tee)  # type: ignore[misc]
            early = f"{place}/tcb", "fmspc=90C06F000000&update=early"
            table[early] = lambda tee=tee: self._tcb(tee, self.early_tcb)  # type: ignore[misc]
            table[f"{place}/qe/identity", "update=early"] = lambda tee=tee: self._qe(  # type: ignore[misc]
                tee, self.early_identity
            )
            table[f"{place}/tcbevaluationdatanumbers", ""] = lambda tee=tee: self._events(tee)  # type: ignore[misc]
        for ca in ("platform", "processor"):
            lists = "/sgx/certification/v4/pckcrl", f"ca={ca}&encoding=der"
            table[lists] = lambda ca=ca: self._pck_crl(ca)  # type: ignore[misc]
        table[ROOT_CRL, ""] = lambda: self._list(self._lists["root"], {})
        for query, leaf in self.certificates.items():
            table["/sgx/certification/v4/pckcert", query] = lambda leaf=leaf: self._pck(leaf)  # type: ignore[misc]
        found = table.get((parts.path, parts.query))
        return Answer(status=404) if found is None else found()

    def _tcb(self, tee: str, early: dict[str, object] | None = None) -> Answer:
        body = self.intel.sign("tcbInfo", self.intel.tcb_info(tee, **(self.tcb if early is None else early)))
        return Answer(body=body, headers={"TCB-Info-Issuer-Chain": self.signers()})

    def _qe(self, tee: str, early: dict[str, object] | None = None) -> Answer:
        changes = self.identity if early is None else early
        body = self.intel.sign("enclaveIdentity", self.intel.qe_identity(tee, **changes))
        return Answer(body=body, headers={"SGX-Enclave-Identity-Issuer-Chain": self.signers()})

    def _events(self, tee: str) -> Answer:
        body = self.intel.sign("tcbEvaluationDataNumbers", self.intel.evaluations(tee, self.events))
        return Answer(body=body, headers={"TCB-Evaluation-Data-Numbers-Issuer-Chain": self.signers()})

    def _pck_crl(self, ca: str) -> Answer:
        chain = quote(self.intel.ca(ca).pem + self.intel.root.pem)
        return self._list(self._lists[ca], {"SGX-PCK-CRL-Issuer-Chain": chain})

    def _pck(self, leaf: bytes) -> Answer:
        chain = quote(self.intel.ca("platform").pem + self.intel.root.pem)
        return Answer(body=leaf, headers={"SGX-PCK-Certificate-Issuer-Chain": chain, "SGX-FMSPC": "90C06F000000"})

    def _list(self, der: bytes, headers: Mapping[str, str]) -> Answer:
        return Answer(body=der.hex().encode() if self._pccs else der, headers=headers)

    def signers(self) -> str:
        """The issuer chain of documents, as a header has it."""
        return quote(self.intel.signer.pem + self.intel.root.pem)
