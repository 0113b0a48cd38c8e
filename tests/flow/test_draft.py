"""From a refused boot to a trusted image, on every platform: the draft holds what a reference value needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sealgate.v1.decisions_pb2 import CHECK_OUTCOME_FAILED, ExplainDecisionResponse, Register

from attest.evidence import CpuEvidence
from attest.reference import ReferenceSet
from clients.operator.refvalue import draft, missing, warning
from kbs.catalog.register import put
from kbs.model.refusal import Refused
from kbs.release.release import release
from kbs.rpc.decisions import _explain
from kbs.serve.wiring import Running
from tests.makers import azure
from tests.makers import site as sites
from tests.makers.azure_site import AzureSite, azure_site
from tests.makers.site import ASSET, MEASUREMENT, SimulatedSite
from tests.makers.workload import build

NAME = "tenants/acme/referenceSets/next"
COVERS = ["firmware", "kernel", "initrd", "cmdline"]
OTHER, JOB, CONFIG = b"\7" * 48, b"\6" * 32, b"\5" * 48
PCRS = [*azure.PCR_VALUES[:4], b"\4" * 32, *azure.PCR_VALUES[5:]]
Collect = Callable[[AzureSite, bytes], CpuEvidence]

# name: (who boots, the members of the drafted value besides its name, platform and covers)
BOOTS: dict[str, tuple[Collect, set[str]]] = {
    "snp": (lambda m, bound: m.site.chip.evidence(bound, measurement=OTHER), {"measurement"}),
    "snp, of one job": (
        lambda m, bound: m.site.chip.evidence(bound, measurement=OTHER, host_data=JOB), {"measurement", "host_data"},
    ),
    "tdx": (lambda m, bound: m.tdx.collect(bound, rtmr1=OTHER), {"measurement", "rtmr0", "rtmr1", "rtmr2"}),
    "tdx, of one job": (
        lambda m, bound: m.tdx.collect(bound, rtmr2=OTHER, rtmr3=OTHER, mr_config_id=CONFIG),
        {"measurement", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_config_id"},
    ),
    "tdx, with a register of nothing": (
        lambda m, bound: m.tdx.collect(bound, rtmr2=bytes(48)), {"measurement", "rtmr0", "rtmr1", "rtmr2"},
    ),
    "azure-snp": (lambda m, bound: m.on_snp(bound, pcrs=PCRS), {"measurement", "pcrs"}),
    "azure-tdx": (lambda m, bound: m.on_tdx(bound, pcrs=PCRS), {"measurement", "pcrs"}),
}  # fmt: skip


async def _refused(made: AzureSite, running: Running, collect: Collect) -> ExplainDecisionResponse:
    """What an operator is told of the boot that just failed."""
    workload = build(
        made.site.chip, running.broker.challenges, running.broker.clock(), collect=lambda bound: collect(made, bound)
    )
    with pytest.raises(Refused, match="ACCESS_DENIED"):
        await release(workload.ask, running.broker)
    return _explain(running.reader, running.reader.head().size - 1, running.broker.catalogue.current())


def _drafted(answer: ExplainDecisionResponse) -> tuple[dict[str, Any], dict[str, Any]]:
    document: dict[str, Any] = draft(answer, name=NAME, value_name="one", covers=COVERS, shared=False)
    return document, document["values"][0]


@pytest.mark.parametrize("name", BOOTS)
async def test_what_was_drafted_is_met_by_that_boot(site: SimulatedSite, name: str) -> None:
    collect, members = BOOTS[name]
    made = await azure_site(site)
    with made.tdx.open() as running:
        answer = await _refused(made, running, collect)
        document, value = _drafted(answer)
        assert set(value) == {"name", "platform", "covers", *members}
        assert value["platform"] == name.partition(",")[0]
        one_job = {"host_data", "mr_config_id", "rtmr3"} & members
        assert all(each in warning(answer) for each in one_job)
        assert ("only this job has" in warning(answer)) == bool(one_job)
        asset = running.broker.catalogue.current().assets[ASSET]
        trusting = sites.asset_document(asset.content_digest.hex(), references=[*asset.references, NAME])
        entry = sites.draft_of(running)
        await sites.register(running, [put("reference-set", NAME, document, entry=entry)])
        await sites.register(
            running, [put("asset", ASSET, trusting, entry=entry, replaces=asset.digest, assets=(ASSET,))]
        )
        again = build(
            site.chip, running.broker.challenges, running.broker.clock(), collect=lambda bound: collect(made, bound)
        )
        assert again.open(await release(again.ask, running.broker)) == [site.key.seed]


async def test_the_pcrs_are_those_that_a_profile_asks_for(site: SimulatedSite) -> None:
    made = await azure_site(site)
    with made.tdx.open() as running:
        answer = await _refused(made, running, lambda m, bound: m.on_snp(bound, pcrs=PCRS))
        assert set(_drafted(answer)[1]["pcrs"]) == {"4", "7", "11"}
        assert missing(answer) == ""
        without = await _refused(made, running, lambda m, bound: m.on_snp(bound, selected=(4, 7)))
        assert set(_drafted(without)[1]["pcrs"]) == {"4", "7"}
        assert missing(without) == "pcr[11]: not in the evidence"
        # Where no profile says which decide: all that were quoted, but for those that a guest resets as it likes.
        asset = running.broker.catalogue.current().assets[ASSET]
        nameless = dataclasses.replace(running.broker.catalogue.current(), assets={})
        assert asset.profile in nameless.profiles
        told = _explain(running.reader, running.reader.head().size - 2, nameless)
        assert set(_drafted(told)[1]["pcrs"]) == {str(n) for n in range(24)} - {"16", "23"}


async def test_an_image_that_another_set_calls_shared_says_what_to_do(site: SimulatedSite) -> None:
    """The demo's own image, once a second set of the asset's says that others boot it as well."""
    with site.open() as running:
        snapshot = running.broker.catalogue.current()
        asset, [own] = snapshot.assets[ASSET], snapshot.assets[ASSET].references
        value = {
            "name": "theirs", "measurement": MEASUREMENT.hex(), "covers": COVERS, "host_data": JOB.hex(),
        }  # fmt: skip
        shared = {"name": NAME, "state": "active", "shared": True, "values": [value]}
        trusting = sites.asset_document(asset.content_digest.hex(), references=[own, NAME])
        entry = sites.draft_of(running)
        await sites.register(running, [put("reference-set", NAME, shared, entry=entry)])
        await sites.register(
            running, [put("asset", ASSET, trusting, entry=entry, replaces=asset.digest, assets=(ASSET,))]
        )
        workload = build(site.chip, running.broker.challenges, running.broker.clock())
        with pytest.raises(Refused, match="ACCESS_DENIED"):
            await release(workload.ask, running.broker)
        told = _explain(running.reader, running.reader.head().size - 1, running.broker.catalogue.current())
        assert [check.check for check in told.checks if check.outcome == CHECK_OUTCOME_FAILED] == ["SECOND_FACT"]
        assert any("host_data, mr_config_id or rtmr3" in remedy for remedy in told.remedies)
        theirs = build(site.chip, running.broker.challenges, running.broker.clock(), host_data=JOB)
        with pytest.raises(Refused, match="ACCESS_DENIED"):  # the value that asks nothing is met first, and may not be
            await release(theirs.ask, running.broker)


def _answer(platform: str, **registers: bytes) -> ExplainDecisionResponse:
    found = [Register(name=name, value=value) for name, value in registers.items()]
    return ExplainDecisionResponse(platform=platform, measurement=OTHER, registers=found)


# name: (the answer, what is said to be missing)
MISSING: dict[str, tuple[ExplainDecisionResponse, str]] = {
    "snp": (_answer("snp", host_data=JOB), "vcpus: no report says how many processors it was measured for"),
    "snp, evidence gone": (
        _answer("snp"),
        "host_data: the evidence is not kept any more; vcpus: no report says how many processors it was measured for",
    ),
    "tdx, evidence gone": (
        _answer("tdx"), "rtmr0 to rtmr2, without which no value is registered: the evidence is not kept any more",
    ),
    "azure-snp, evidence gone": (
        _answer("azure-snp"), "pcrs, without which no value is registered: the evidence is not kept any more",
    ),
    "tdx": (_answer("tdx", rtmr0=CONFIG), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_named(name: str) -> None:
    answer, told = MISSING[name]
    assert missing(answer) == told
    assert ("does not hold" in warning(answer)) == bool(told)
    assert told in warning(answer)


def test_a_draft_without_what_is_needed_is_refused_where_it_is_registered() -> None:
    for platform in ("tdx", "azure-snp", "azure-tdx"):
        document: Mapping[str, Any] = _drafted(_answer(platform))[0]
        with pytest.raises(Exception, match="REFERENCE_MALFORMED"):
            ReferenceSet.parse({key: document[key] for key in ("name", "values")})
