"""AMD's Key Distribution Service: endorsement keys by chip and TCB, their issuers, revocation lists.

Source: AMD publication 57230. `/vcek/v1/{product}/{hwid}?blSPL=..` answers with DER; numbers are decimal with at least
two digits, and all are always sent, since one that is missing counts as 0. VLEKs come from the cloud provider alone.

    amd/vcek/Milan/<hwid>/<TCB_VERSION>     amd/issuers/VCEK/Milan     amd/crl/VCEK/Milan
"""

from __future__ import annotations

from typing import Final

from attest.anchors import Anchors
from attest.errors import NotAuthentic
from attest.evidence import SnpEvidence
from attest.snp import tcb
from attest.snp.claims import SigningKey
from attest.snp.endorsement import Issuers, Wanted, check_crl, check_issuers, check_vcek, wanted
from kbs.collateral.budget import Budget
from kbs.collateral.errors import CollateralError
from kbs.collateral.library import Library, Order
from kbs.collateral.port import Cache
from kbs.collateral.source import Vendor
from kbs.collateral.times import DAY_MS, moment, ms
from kbs.model.collateral import Piece
from kbs.outbound.client import Response

__all__ = ["BASE", "Kds"]

BASE: Final = "https://kdsintf.amd.com"
_CERTIFICATE_LIMIT: Final = 16_384
_CRL_LIMIT: Final = 1 << 20


class Kds:
    """What AMD publishes, piece by piece. `strangers` and `known` are budgets for reports that are not proven yet."""

    renewed: Final = ("amd/crl/", "amd/issuers/")  # keys of chips stay what they are
    announced: Final = ""
    curable: Final = frozenset(
        {
            "VEK_MISSING",
            "CHAIN_INCOMPLETE",
            "CHIP_ID_MISMATCH",
            "TCB_EXT_MISMATCH",
            "CERT_EXPIRED",
            "CRL_MISSING",
            "CRL_EXPIRED",
        }
    )

    def __init__(
        self, source: Vendor, library: Library, cache: Cache, anchors: Anchors, *, strangers: Budget, known: Budget
    ) -> None:
        self._source = source
        self._library = library
        self._cache = cache
        self._anchors = anchors
        self._strangers = strangers
        self._known = known

    def at_hand(self, evidence: SnpEvidence, now: int) -> list[Piece]:
        """Whatever there is for this evidence, valid at `now`; raises AttestError for what is no report."""
        return self._at_hand(self._want(evidence), now)

    async def gather(self, evidence: SnpEvidence, *, report_data: bytes, now: int) -> list[Piece]:
        """All that the report needs, fetched where it is not at hand; in the order issuers, list, key.

        Raises AttestError for a report that fails a check that needs nothing else, and CollateralError, though not
        where the source says that there is no such key: then the evidence lacks its endorsement, which is for the
        verifier to say.
        """
        want = wanted(evidence, self._anchors, report_data=report_data)
        for product in want.products:
            found = await self._of_product(want, evidence, product, now)
            if found is not None:
                return found
        return self._at_hand(want, now)

    def foretell(self, evidence: SnpEvidence, now: int) -> None:
        """Nothing: AMD announces no TCB before it counts; what will count is for profiles to say."""

    def proved(self, evidence: SnpEvidence) -> None:
        """A report was verified with what was fetched for it: its token goes back."""
        want = self._want(evidence)
        for product in want.products:
            for budget in (self._strangers, self._known):
                budget.give_back(_vcek_name(want, product))

    def beside(self, name: str) -> tuple[str, ...]:
        """Nothing: what is published counts at once."""
        del name
        return ()

    def order_of(self, name: str, now: int) -> Order | None:
        """How the piece of that name is renewed; None for a key, which is never issued anew, or another's name."""
        match name.split("/"):
            case ["amd", "issuers", kind, product]:
                return self._issuers(SigningKey[kind], product)
            case ["amd", "crl", kind, product]:
                issuers = self._library.look(_issuers_name(SigningKey[kind], product), now)
                return None if issuers is None else self._crl(self._read(issuers, SigningKey[kind], product, now))
        return None

    def _want(self, evidence: SnpEvidence) -> Wanted:
        return wanted(evidence, self._anchors, report_data=evidence.report[0x50:0x90])

    def _at_hand(self, want: Wanted, now: int) -> list[Piece]:
        found = []
        for product in want.products:
            names = [_issuers_name(want.kind, product), _crl_name(want.kind, product)]
            names += [_vcek_name(want, product)] if want.kind is SigningKey.VCEK else []
            found += [piece for name in names if (piece := self._library.look(name, now)) is not None]
        return found

    def check(self, name: str, data: bytes, now: int) -> int | None:
        """The end of a piece's validity (ms), if it is what its name says; None if the name is another vendor's.

        Raises AttestError. Issuers must be at hand before what they issued.
        """
        match name.split("/"):
            case ["amd", "issuers", kind, product] if kind in SigningKey.__members__:
                checked = check_issuers(data, product, SigningKey[kind], self._anchors, now=moment(now))
                return ms(checked.not_after)
            case ["amd", "crl", kind, product] if kind in SigningKey.__members__:
                crl = check_crl(data, self._issuers_at_hand(SigningKey[kind], product, now), now=moment(now))
                return ms(crl.next_update) if crl.next_update else 0
            case ["amd", "vcek", product, hwid, raw]:
                issuers = self._issuers_at_hand(SigningKey.VCEK, product, now)
                want = Wanted(
                    kind=SigningKey.VCEK,
                    products=(product,),
                    tcb=_hex(raw),
                    chip_id=_hex(hwid).ljust(64, b"\0"),
                )
                chain = check_vcek(data, want, issuers, self._anchors, now=moment(now))
                return ms(chain.links[0].not_after)
        return None

    def _issuers_at_hand(self, kind: SigningKey, product: str, now: int) -> Issuers:
        chain = self._library.look(_issuers_name(kind, product), now)
        if chain is None:
            raise NotAuthentic(
                "CHAIN_INCOMPLETE", _issuers_name(kind, product), expected=f"the issuers of {product}", got="none"
            )
        return self._read(chain, kind, product, now)

    async def _of_product(self, want: Wanted, evidence: SnpEvidence, product: str, now: int) -> list[Piece] | None:
        """All that is needed if the chip is one of `product`; None if there is no such chip."""
        chain = await self._library.get(self._issuers(want.kind, product), now)
        issuers = self._read(chain, want.kind, product, now)
        crl = await self._library.get(self._crl(issuers), now)
        if want.kind is SigningKey.VLEK or want.endorsed_by(evidence.certificates):
            return [chain, crl]
        try:
            return [chain, crl, await self._library.get(self._vcek(want, issuers), now)]
        except CollateralError as error:
            if error.check == "SOURCE_UNKNOWN":
                return None
            raise

    def _read(self, chain: Piece, kind: SigningKey, product: str, now: int) -> Issuers:
        return check_issuers(chain.data, product, kind, self._anchors, now=moment(now))

    def _issuers(self, kind: SigningKey, product: str) -> Order:
        def admit(answer: Response, now: int) -> tuple[bytes, int]:
            issuers = check_issuers(answer.body, product, kind, self._anchors, now=moment(now))
            return answer.body, ms(issuers.not_after)

        return Order(
            name=_issuers_name(kind, product),
            source=self._source,
            path=f"/{kind.name.lower()}/v1/{product}/cert_chain",
            limit=_CERTIFICATE_LIMIT,
            admit=admit,
            renew_ms=7 * DAY_MS,
        )

    def _crl(self, issuers: Issuers) -> Order:
        def admit(answer: Response, now: int) -> tuple[bytes, int]:
            crl = check_crl(answer.body, issuers, now=moment(now))
            return crl.der, ms(crl.next_update) if crl.next_update else 0

        kind, product = issuers.kind, issuers.root.product
        return Order(
            name=_crl_name(kind, product),
            source=self._source,
            path=f"/{kind.name.lower()}/v1/{product}/crl",
            limit=_CRL_LIMIT,
            admit=admit,
            renew_ms=DAY_MS,
            rising=True,
        )

    def _vcek(self, want: Wanted, issuers: Issuers) -> Order:
        product = issuers.root.product
        name = _vcek_name(want, product)

        def admit(answer: Response, now: int) -> tuple[bytes, int]:
            chain = check_vcek(answer.body, want, issuers, self._anchors, now=moment(now))
            return chain.links[0].der, ms(chain.links[0].not_after)

        def before() -> None:
            seen = self._cache.names(name.rpartition("/")[0] + "/")
            (self._known if seen else self._strangers).take(name)

        components = dict(tcb.decode(product, want.tcb, path="report.reported_tcb").parts)
        query = "&".join(f"{part}SPL={components[part]:02d}" for part in tcb.LAYOUT[product].names)
        return Order(
            name=name,
            source=self._source,
            path=f"/vcek/v1/{product}/{want.hwid(product).hex()}?{query}",
            limit=_CERTIFICATE_LIMIT,
            admit=admit,
            renew_ms=0,
            before=before,
        )


def _issuers_name(kind: SigningKey, product: str) -> str:
    return f"amd/issuers/{kind.name}/{product}"


def _crl_name(kind: SigningKey, product: str) -> str:
    return f"amd/crl/{kind.name}/{product}"


def _vcek_name(want: Wanted, product: str) -> str:
    return f"amd/vcek/{product}/{want.hwid(product).hex()}/{want.tcb.hex()}"


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""  # no chip and no TCB has it
