"""The throwaway AMD makes what the real one makes: same fields, same extensions, serial 0, and fast."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from attest.snp import vek
from attest.snp.claims import SigningKey
from attest.snp.report import parse
from attest.x509 import Certificate, load_certificate
from tests.makers import amd
from tests.vectors import VECTORS, needs_vectors

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)


def test_the_demo_does_not_wait_for_it() -> None:
    started = time.process_time()
    amd.mint(now=NOW).chip().evidence(bytes(64))
    assert time.process_time() - started < 2


def test_roots_are_simulated_and_made_once() -> None:
    first, second = amd.mint(now=NOW), amd.mint(now=NOW + dt.timedelta(days=1))
    assert first.anchors.simulated
    assert first.anchors.amd[0].spki_sha256 == second.anchors.amd[0].spki_sha256
    assert first.anchors == amd.anchors_of("Milan", first.ark.der)


def test_fields_that_do_not_fit() -> None:
    chip = amd.mint(now=NOW).chip()
    with pytest.raises(ValueError, match="measurement has 48 bytes"):
        chip.report(bytes(64), measurement=bytes(49))
    with pytest.raises(KeyError):
        chip.report(bytes(64), no_such_field=1)


def _shape(certificate: Certificate) -> tuple[str, str, int, bool, set[str]]:
    return (
        certificate.common_name,
        certificate.issuer_common_name,
        certificate.serial,
        certificate.is_ca,
        set(certificate.extensions),
    )


@needs_vectors(3)
@pytest.mark.parametrize(
    ("product", "kind", "path"),
    [
        ("Milan", "VCEK", "virtee-sev/vcek_milan.der"),
        ("Milan", "VLEK", "confidential-containers-trustee/test-vlek.der"),
        ("Turin", "VCEK", "virtee-sev/vcek_turin.der"),
    ],
)
def test_keys_look_like_the_real_ones(product: str, kind: str, path: str) -> None:
    assert VECTORS is not None
    real = load_certificate((VECTORS / "snp" / path).read_bytes(), path="real")
    made = load_certificate(amd.mint(product, now=NOW).chip(kind=kind).certificate, path="made")
    assert _shape(made) == _shape(real)
    parsed = [vek.parse(certificate, SigningKey[kind], path="it") for certificate in (real, made)]
    assert parsed[0].product == parsed[1].product
    assert parsed[0].components.keys() == parsed[1].components.keys()


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_reports_of_every_version(version: int) -> None:
    assert parse(amd.mint(now=NOW).chip().report(bytes(64), version=version)).version == version
