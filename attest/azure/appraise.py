"""Do we accept what the paravisor says of this guest? Every finding."""

from __future__ import annotations

from attest.azure.claims import ParavisorClaims
from attest.finding import Finding, Outcome

__all__ = ["appraise_paravisor"]


def appraise_paravisor(
    claims: ParavisorClaims, wanted: frozenset[int], pinned: frozenset[int], *, secure_boot: bool
) -> tuple[Finding, ...]:
    """`wanted` are the PCRs that a reference value has to pin, `pinned` those that the one that was met pins."""
    missing = sorted(wanted - pinned)
    told = "all of them" if not missing else "not pinned: " + ", ".join(map(str, missing))
    return (
        _judged("POLICY_PCR", "reference.pcrs", not missing, f"PCR {', '.join(map(str, sorted(wanted)))} pinned", told),
        _secure_boot(claims, asked=secure_boot),
    )


def _secure_boot(claims: ParavisorClaims, *, asked: bool) -> Finding:
    got = {True: "on", False: "off", None: "not said"}[claims.secure_boot]
    if not asked:
        return Finding(
            check="POLICY_SECURE_BOOT", path="hcl.vm-configuration.secure-boot", outcome=Outcome.SKIPPED,
            expected="nothing asked for", got=got,
        )  # fmt: skip
    return _judged("POLICY_SECURE_BOOT", "hcl.vm-configuration.secure-boot", claims.secure_boot is True, "on", got)


def _judged(check: str, path: str, fine: bool, expected: str, got: str) -> Finding:
    return Finding(
        check=check, path=path, outcome=Outcome.PASSED if fine else Outcome.FAILED, expected=expected, got=got
    )
