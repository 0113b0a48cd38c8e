"""Event logs: what adds up to the registers is read, all else is refused by name."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from attest.errors import AttestError
from attest.tdx.ccel import read_ccel, without_padding
from attest.tdx.components import Component, differing, read_components
from attest.tdx.eventlog import read_event_log, verify_event_log
from attest.tdx.events import Event, replay
from tests.attest.refusal import refused
from tests.makers import ccel as maker
from tests.vectors import VECTORS, manifest, needs_vectors

BOOT = [
    (0, b"\x01\x00"),
    (0, bytes(4)),
    (1, b"kernel"),
    (2, b"root=/dev/vda1"),
    (2, b"initrd"),
]
RUNTIME = 0x08000001
CCELS = sorted(path for path, entry in manifest().items() if entry["kind"] == "ccel")


def test_a_boot_adds_up() -> None:
    events = verify_event_log(maker.boot(), maker.replayed(BOOT))
    assert [(e.register, e.proven) for e in events] == [(0, False), (0, True), (1, False), (2, True), (2, False)]
    assert events[3].text == "kernel_cmdline: root=/dev/vda1"
    assert events[0].text == "variable BootOrder"


CHANGED: dict[str, Callable[[], bytes]] = {
    "another kernel": lambda: maker.boot(kernel=b"other"),
    "an event less": lambda: maker.ccel(maker.event(0, 4, bytes(4))),
    "an event more": lambda: maker.boot().replace(maker.TERMINATOR, maker.event(3, 4, bytes(4)) + maker.TERMINATOR, 1),
    "none at all": maker.ccel,
    "another order": lambda: maker.ccel(
        maker.event(0, 4, bytes(4)), maker.event(0, 0x80000002, maker.variable("B", b"\x01\x00"), measured=b"\x01\x00")
    ),
}


@pytest.mark.parametrize("case", CHANGED)
def test_another_log_does_not_add_up(case: str) -> None:
    with refused("EVENTLOG_RTMR_MISMATCH"):
        verify_event_log(CHANGED[case](), maker.replayed(BOOT))


@pytest.mark.parametrize("register", range(4))
def test_every_register_is_compared(register: int) -> None:
    rtmrs = list(maker.replayed(BOOT))
    rtmrs[register] = bytes(47) + b"\x01"
    with pytest.raises(AttestError) as caught:
        verify_event_log(maker.boot(), (rtmrs[0], rtmrs[1], rtmrs[2], rtmrs[3]))
    assert (caught.value.check, caught.value.path) == ("EVENTLOG_RTMR_MISMATCH", f"event_log.rtmr{register}")


def _longer(header: bytes) -> bytes:
    """The header with one byte more in its data."""
    return header[:28] + (int.from_bytes(header[28:32], "little") + 1).to_bytes(4, "little") + header[32:] + b"\0"


SEPARATOR = maker.event(0, 4, bytes(4))
FORMAT: dict[str, bytes] = {
    "empty": b"",
    "neither form": b"{}",
    "a header cut short": maker.header()[:-1],
    "a header of another signature": maker.ccel(head=maker.header().replace(b"Event03", b"Event02")),
    "a header that is an event": maker.ccel(head=maker.header()[:4] + b"\x04" + maker.header()[5:]),
    "SHA-1 in the header": maker.ccel(head=maker.header()[:8] + b"\x01" + maker.header()[9:]),
    "no algorithm": maker.ccel(head=maker.header(())),
    "SHA-256 alone": maker.ccel(head=maker.header(((0x0B, 32),))),
    "SM3 alone": maker.ccel(head=maker.header(((0x12, 32),))),
    "SHA-384 of 32 bytes": maker.ccel(head=maker.header(((maker.SHA384, 32),))),
    "an algorithm twice": maker.ccel(head=maker.header(((maker.SHA384, 48), (maker.SHA384, 48)))),
    "nine algorithms": maker.ccel(head=maker.header([(each, 48) for each in range(9)])),
    "vendor information cut short": maker.header(vendor=b"\x00")[:-1] + maker.TERMINATOR,
    "MRTD extended": maker.ccel(maker.event(-1, 4, bytes(4))),
    "RTMR[4]": maker.ccel(maker.event(4, 4, bytes(4))),
    "no digest": maker.ccel(struct.pack("<IIII", 1, 4, 0, 4) + bytes(4)),
    "nine digests": maker.ccel(struct.pack("<III", 1, 4, 9) + bytes(500)),
    "a digest of an algorithm not listed": maker.ccel(struct.pack("<IIIH32sI", 1, 4, 1, 0x0B, bytes(32), 0)),
    "a digest of SHA-256 alone, which is listed beside": maker.ccel(
        struct.pack("<IIIH32sI", 1, 4, 1, 0x0B, bytes(32), 0),
        head=maker.header(((maker.SHA384, 48), (0x0B, 32))),
    ),
    "a header for RTMR[1]": maker.ccel(head=b"\x02" + maker.header()[1:]),
    "a byte behind the vendor's information": maker.ccel(head=_longer(maker.header())),
    "the same digest twice": maker.ccel(struct.pack("<IIIH48sH48sI", 1, 4, 2, 0x0C, bytes(48), 0x0C, bytes(48), 0)),
    "data cut short": maker.header() + SEPARATOR[:-1],
    "no end": maker.header() + SEPARATOR + b"\x01",
    "an event after the end": maker.ccel(SEPARATOR, padding=SEPARATOR + b"\xff" * 8),
    "mixed padding": maker.ccel(SEPARATOR, padding=b"\xff\x00"),
    "text after zeros": maker.header() + SEPARATOR + bytes(64) + b"x",
}


@pytest.mark.parametrize("case", FORMAT)
def test_format(case: str) -> None:
    with refused("EVENTLOG_FORMAT"):
        read_event_log(FORMAT[case])


ENDS = {
    "ff": maker.ccel(SEPARATOR),
    "zeros": maker.header() + SEPARATOR + bytes(4096),
    "the end": maker.header() + SEPARATOR,
}


@pytest.mark.parametrize("case", ENDS)
def test_ends(case: str) -> None:
    assert len(read_event_log(ENDS[case])) == 1


@pytest.mark.parametrize("case", ENDS)
def test_the_padding_can_be_left_out(case: str) -> None:
    short = without_padding(ENDS[case])
    assert short == maker.header() + SEPARATOR + maker.TERMINATOR
    assert read_ccel(short) == read_ccel(ENDS[case])


TOO_LARGE: dict[str, Callable[[], bytes]] = {
    "bytes": lambda: maker.ccel(padding=b"\xff" * (2 << 20)),
    "events": lambda: maker.ccel(*[SEPARATOR] * 4_097),
    "data": lambda: maker.header() + struct.pack("<IIIH48sI", 1, 4, 1, 0x0C, bytes(48), 0xFFFFFFFF),
    "JSON": lambda: b"[" + b" " * (2 << 20) + b"]",
    "JSON events": lambda: b"[" + b"0," * 4_096 + b"0]",
}


@pytest.mark.parametrize("case", TOO_LARGE)
def test_too_large(case: str) -> None:
    with refused("EVENTLOG_TOO_LARGE"):
        read_event_log(TOO_LARGE[case]())


DIGEST: dict[str, bytes] = {
    "a separator": maker.event(0, 4, b"\0\0\0\1", measured=bytes(4)),
    "an action": maker.event(1, 0x80000007, b"Exit Boot Services", measured=b"Exit"),
    "a partition table": maker.event(1, 0x80000006, b"EFI PART", measured=b"other"),
    "Secure Boot's variable": maker.event(0, 0x80000001, maker.variable("SecureBoot", b"\0"), measured=b"\1"),
    "an authority": maker.event(0, 0x800000E0, maker.variable("db", b"\0"), measured=b"\1"),
    "a boot variable": maker.event(0, 0x80000002, maker.variable("BootOrder", b"\2\0"), measured=b"\1\0"),
    "a boot variable of wrong lengths": maker.event(0, 0x80000002, maker.variable("B", b"\1")[:-1], measured=b"\1"),
    "a boot variable cut short": maker.event(0, 0x80000002, b"\1\0", measured=b"\1\0"),
    "a command": maker.event(2, 0xD, b"grub_cmd: linux /evil\0", measured=b"linux /good"),
    "a command line": maker.event(2, 0xD, b"kernel_cmdline: init=/evil\0", measured=b"quiet"),
    "a module's": maker.event(2, 0xD, b"module_cmdline: evil\0", measured=b"good"),
}


@pytest.mark.parametrize("case", DIGEST)
def test_a_text_must_be_what_was_measured(case: str) -> None:
    with refused("EVENTLOG_EVENT_DIGEST"):
        read_event_log(maker.ccel(DIGEST[case]))


def _runtime(name: str = "compose-hash", payload: str = "abcd", **more: object) -> dict[str, Any]:
    return {"imr": 3, "event_type": RUNTIME, "digest": "", "event": name, "event_payload": payload} | more


def test_dstack_computes_what_applications_extended() -> None:
    measured = RUNTIME.to_bytes(4, "little") + b":compose-hash:\xab\xcd"
    second = rfc8785.dumps({"event": "key", "event_type": RUNTIME, "payload": "01", "version": 2})
    digest = hashlib.sha384(measured).hexdigest()
    log = maker.dstack(_runtime(), _runtime(digest=digest), _runtime("key", "01", version=2))
    events = read_event_log(log)
    assert replay(events) == maker.replayed([(3, measured), (3, measured), (3, second)])
    assert [event.text for event in events] == ["compose-hash=abcd", "compose-hash=abcd", "key=01"]
    assert all(event.proven for event in events)


def test_dstack_names_of_the_firmware_prove_nothing() -> None:
    digest = "11" * 48
    (event,) = read_event_log(maker.dstack(_runtime("SecureBoot", "", imr=0, event_type=4, digest=digest)))
    assert (event.proven, event.digest.hex()) == (False, digest)


DSTACK: dict[str, tuple[object, str]] = {
    "no JSON": (b"[", "EVENTLOG_FORMAT"),
    "deep": (b"[" * 100_000, "EVENTLOG_FORMAT"),
    "a number": ([1], "EVENTLOG_FORMAT"),
    "a member missing": ([{"imr": 3}], "EVENTLOG_FORMAT"),
    "a member more": ([_runtime(extra=1)], "EVENTLOG_FORMAT"),
    "a member twice": (b'[{"imr":3,"imr":3}]', "EVENTLOG_FORMAT"),
    "RTMR[4]": ([_runtime(imr=4)], "EVENTLOG_FORMAT"),
    "RTMR[-1]": ([_runtime(imr=-1)], "EVENTLOG_FORMAT"),
    "RTMR[true]": ([_runtime(imr=True)], "EVENTLOG_FORMAT"),
    "an object": (b" [] {}", "EVENTLOG_FORMAT"),
    "a type of 33 bits": ([_runtime(event_type=1 << 32, digest="11" * 48)], "EVENTLOG_FORMAT"),
    "a type below nothing": ([_runtime(event_type=-1, digest="11" * 48)], "EVENTLOG_FORMAT"),
    "a type that is a text": ([_runtime(event_type="4", digest="11" * 48)], "EVENTLOG_FORMAT"),
    "a member twice, the same": (
        b'[{"imr":3,"imr":3,"event_type":134217729,"event":"e","event_payload":""}]',
        "EVENTLOG_FORMAT",
    ),
    "a payload that is a number": ([_runtime(event_payload=12)], "EVENTLOG_FORMAT"),
    "a payload that is too long": ([_runtime(payload="00" * ((1 << 16) + 1))], "EVENTLOG_FORMAT"),
    "a name of half a pair": (
        b'[{"imr":3,"event_type":134217729,"event":"\\udfff","event_payload":""}]',
        "EVENTLOG_FORMAT",
    ),
    "a long name": ([_runtime("n" * 257)], "EVENTLOG_FORMAT"),
    "a name that is none": ([_runtime(event=1)], "EVENTLOG_FORMAT"),
    "a name that has no bytes": (
        b'[{"imr":3,"event_type":134217729,"event":"\\ud800","event_payload":""}]',
        "EVENTLOG_FORMAT",
    ),
    "no hexadecimal": ([_runtime(payload="xy")], "EVENTLOG_FORMAT"),
    "hexadecimal with spaces": ([_runtime(payload="ab cd")], "EVENTLOG_FORMAT"),
    "a version of the future": ([_runtime(version=3)], "EVENTLOG_FORMAT"),
    "a firmware's event without digest": ([_runtime(event_type=4)], "EVENTLOG_FORMAT"),
    "a firmware's event of 32 bytes": ([_runtime(event_type=4, digest="11" * 32)], "EVENTLOG_FORMAT"),
    "an edited payload": (
        [_runtime(payload="ff", digest=hashlib.sha384(b"\1\0\0\x08:compose-hash:\xab\xcd").hexdigest())],
        "EVENTLOG_EVENT_DIGEST",
    ),
}


@pytest.mark.parametrize("case", DSTACK)
def test_dstack_refuses(case: str) -> None:
    document, check = DSTACK[case]
    with refused(check):
        read_event_log(document if isinstance(document, bytes) else json.dumps(document).encode())


@given(st.binary(max_size=400), st.booleans())
def test_no_log_escapes_the_tree(data: bytes, headed: bool) -> None:
    check, events = _outcome(lambda: read_event_log(maker.header() + data if headed else data))
    assert not check or check.startswith("EVENTLOG_")
    assert all(len(event.digest) == 48 and 0 <= event.register < 4 for event in events)


def _outcome(read: Callable[[], tuple[Event, ...]]) -> tuple[str, tuple[Event, ...]]:
    """(the check that refused, or nothing; the events)."""
    try:
        return "", read()
    except AttestError as error:
        return error.check, ()


@given(st.integers(0, len(maker.boot()) - 65), st.integers(0, 7))
def test_no_flip_before_the_end_is_silent(position: int, bit: int) -> None:
    """A changed log is refused, or extends the same digests in the same registers."""
    log = bytearray(maker.boot())
    log[position] ^= 1 << bit
    check, events = _outcome(lambda: verify_event_log(bytes(log), maker.replayed(BOOT)))
    before = verify_event_log(maker.boot(), maker.replayed(BOOT))
    same = [(e.register, e.digest) for e in events] == [(e.register, e.digest) for e in before]
    assert same if not check else check.startswith("EVENTLOG_")


# --- components ---


def _components(*names: tuple[str, bytes]) -> tuple[Component, ...]:
    digests = [(name, hashlib.sha384(measured).hexdigest()) for name, measured in names]
    return read_components([{"name": name, "digests": [digest]} for name, digest in digests])


def test_components_say_which_one_differs() -> None:
    wanted = _components(("cmdline", b"root=/dev/vda1"), ("initrd", b"initrd"))
    assert not list(differing(2, wanted, read_event_log(maker.boot())))
    ((place, expected, got),) = differing(2, wanted, read_event_log(maker.boot(initrd=b"evil")))
    assert place == "rtmr2[1] (initrd)"
    assert expected == hashlib.sha384(b"initrd").hexdigest()
    assert got.startswith(hashlib.sha384(b"evil").hexdigest())
    assert got.endswith(", as the log says)")


DIFFERING: dict[str, tuple[tuple[Component, ...], list[str]]] = {
    "one missing": (_components(("cmdline", b"root=/dev/vda1")), ["rtmr2[1] (no component)"]),
    "one too many": (
        _components(("cmdline", b"root=/dev/vda1"), ("initrd", b"initrd"), ("module", b"m")),
        ["rtmr2[2] (module)"],
    ),
    "swapped": (
        _components(("initrd", b"initrd"), ("cmdline", b"root=/dev/vda1")),
        ["rtmr2[0] (initrd)", "rtmr2[1] (cmdline)"],
    ),
}


@pytest.mark.parametrize("case", DIFFERING)
def test_components_are_all_of_the_register_in_order(case: str) -> None:
    components, places = DIFFERING[case]
    assert [place for place, _, _ in differing(2, components, read_event_log(maker.boot()))] == places


COMPONENT = {"name": "kernel", "digests": ["11" * 48]}
BAD_COMPONENTS: dict[str, list[Any]] = {
    "none": [],
    "too many": [COMPONENT] * 1_025,
    "no object": ["kernel"],
    "no name": [COMPONENT | {"name": ""}],
    "a name that is a number": [COMPONENT | {"name": 7}],
    "too many digests": [COMPONENT | {"digests": [f"{each:096x}" for each in range(65)]}],
    "digests under names": [COMPONENT | {"digests": {"11" * 48: 1}}],
    "a key more": [COMPONENT | {"optional": True}],
    "no digest": [COMPONENT | {"digests": []}],
    "a digest twice": [COMPONENT | {"digests": ["11" * 48, "11" * 48]}],
    "a digest in upper case": [COMPONENT | {"digests": ["AA" * 48]}],
    "a digest of 32 bytes": [COMPONENT | {"digests": ["11" * 32]}],
    "a digest that is a number": [COMPONENT | {"digests": [1]}],
    "digests that are a text": [COMPONENT | {"digests": "11" * 48}],
}


@pytest.mark.parametrize("case", BAD_COMPONENTS)
def test_components_are_read_strictly(case: str) -> None:
    with pytest.raises(ValueError, match="component"):
        read_components(BAD_COMPONENTS[case])


# --- captured logs ---


@needs_vectors(9)
@pytest.mark.parametrize("path", CCELS)
def test_captured_logs(path: str) -> None:
    assert VECTORS is not None
    expected = manifest()[path]["expect"]
    log = (VECTORS / path).read_bytes()
    if not isinstance(expected["rtmr_replay"], dict):
        with refused("EVENTLOG_FORMAT"):
            read_event_log(log)
        return
    events = read_event_log(log)
    assert len(events) == expected["events"] - expected["ev_no_action_events"]
    assert [value.hex() for value in replay(events)] == [expected["rtmr_replay"][f"RTMR{n}"] for n in range(4)]


@pytest.mark.parametrize("case", ["a header that is an event", "a header for RTMR[1]", "a header of another signature"])
def test_a_ccel_begins_with_its_header_whoever_reads_it(case: str) -> None:
    with refused("EVENTLOG_FORMAT"):
        read_ccel(FORMAT[case])
