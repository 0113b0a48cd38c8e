"""age v1: keys, header and payload against the specification, the age tool, and whoever edits a byte."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.errors import NotTrusted
from clients.workload import age, age_recipient
from clients.workload.age import Header, Layout, Payload, Stanza, encode_header, open_file_key, parse_header
from clients.workload.age_recipient import KeyPair, Recipient, SealedError

CHUNK, TAG = age.CHUNK, 16
FILE_KEY, NONCE = bytes(range(16)), bytes(range(16, 32))
PAIR = KeyPair.generate(bytes(range(32)))
OTHER = KeyPair.generate(bytes(32))
AGE = os.environ.get("SEALGATE_AGE", "")

# Made for this test on 2026-11-24 with age v1.3.2: `age-keygen -pq`, then `age -R` of "Sealed by the age tool.\n".
IDENTITY = "AGE-SECRET-KEY-PQ-1A0YHME24LZZD0PTQZQD2UZUQNMUXEMT7462TXHESCVREJNSJ0ZHQ07YXUV"
RECIPIENT_SHA256 = "d5a91ea931606c3ceb91751edbeebd1d07c24f9242cfbcc5f290bcd8c785a3c3"
SEALED = bytes.fromhex("""
6167652d656e6372797074696f6e2e6f72672f76310a2d3e206d6c6b656d37363878323535313920436e356348363331553432426d5557564f312f2b
41616c3942325831312f43795855676d7a694d79424e6f48684f45696f534c4743756c3138357a72506f323438625579424c636f49675073566f2b31
4e585273796838646e2b6a2b73784566313467484c6c344e34752b586762302f44324438596665376f732f4e30565148537039743875713970627574
4e506748784f506c78624776744d335675533463682f3859454c2b41704455414b6352734970705253616650666c6c3657685277302b6451616b4574
56644e6d536245502b4846683357656c6c564759325757466e675169494838552b766831666a4265566f6a386c41336d4e654a43353361396d6a776c
725241574e6c4a5436553369586d614f49362b674868722f384344626e626d412f436850505a4f7a4b4e4c534873707655417141592f6e39564f5148
675678392b42374559596e652f6f37694b6d554e385375343156564c5339784873326f54586e683174454e717531617774744d373236367237797566
465039474a6d346b6572473635684c2b67592b796f3470634877673849314b56307036646132466b7135734e75664648495a73586d66545a5254614f
585352332f6f4c314b616c75745772536b37644a624e72724d34485a6c73776632546c50777165304d573969726e446635787a502b426d71646b5a57
544c5168416b794f43334874776c33646878447a55342f634e59547265724d7a4648697464716a6e2f50714551456c68735944363277324a70797a75
4d4449723372374d644c6844543936394d412f5437322b7453454f4e4b67574b45477a54524a6569484c6337712b3034794b444d797a5a5a746f5545
4f6769694c64363444362b4447447957765335516167374d2b74426a627568456a4f7232584245464468774f6d6169636b5a5a65354f696c46487737
762b396b614b4e5350384956416c326b536d6e59637071664c674975746c70787731556f58654e6174502b6159612f7645336e37776c304f53383136
394d7a376a78614362534363437a6659434d47537550446a78644750306c3878454461436e4277356562622f72376b7a65396e703761365064532b4d
646a5038446b634e484d572b355a426c752b6b6b7a346f4170524b49743061394c3331787831764c466478754776617a573133566e446c6461567462
366b46736b477458526e44764b476652396e4d64334942416a6c36517857555864517345304c71495570624c42496368712f70474932326456357565
716b4a59454e63726436554154497a32775352547839364e7074675062416f552f676f6f6d527050444e544c78322b4e754b505a6170546432737849
506a41685a42743047692f5a384e3636616c6937534c3134526b324c7747714c53774b71314e52704133734c676e2b56764c6b32765a4c5450457750
4d6d50414358304536586f425a68644a315530522f507463574e676572592f7931713236564d4264453245374f356f4a444143475644335573693064
457376734d5442487231715471754f4864555665777436666e64476f3552444943652b623737475747454e6f6e706c39596c58456756764f4a656370
63465874687a4c704976477a5534717677515850377a55443669375538597457393078426e46664b6638506131697856736646515a50376649306e2f
30432f744857386b425a6d4642684630764f6132666878464a735933507a796a42756961334a576453497864592f385135642f746d564b675349494b
574e4f614347724f776c59714b756b38396d506f57616b56633379754a377575324d31676a6a42743352656157484b2f6f736a49744b7a464b6a6b6e
616676324e4873706b6d6b36456a5931657371676c5658765567787435747a56417163305a525156546972396e6d46534c4e444f783446387a695053
51426e6e5835577655676b6b393173717535456f3169565664514b616853536e733672796e6937766432697148324c334a2b7752397046566e614168
6635436d315932704a305136707a33522b6c656a705255385177784e5a4e673163670a614d332f447155345237313446694f68456d4f794c344b4c6e
527331326b5035664373706e765134374f770a2d2d2d2072454d48576639416f4145794a75566f74647279366e755a70334a417a6a6255327a4b6a50
45554a4151630a1e5bc96cc81b07520bc25bcec36af5a56fac93612c13ca50c55c8a071063a3955701a48a97c4e6eb81ce9117d2d1f31d52366f9880
d3bb1f
""")


def seal(
    plain: bytes, recipient: Recipient = PAIR.recipient, file_key: bytes = FILE_KEY, nonce: bytes = NONCE
) -> bytes:
    sink = io.BytesIO()
    age.seal(io.BytesIO(plain), sink, recipient, file_key=file_key, nonce=nonce)
    return sink.getvalue()


def unseal(sealed: bytes, identity: KeyPair = PAIR) -> bytes:
    header = parse_header(sealed)
    layout = Layout(start=header.length + age.NONCE, size=len(sealed))
    nonce = sealed[header.length : layout.start]
    payload = Payload(layout=layout, file_key=open_file_key(header, identity), nonce=nonce)
    spans = [layout.span(index) for index in range(layout.chunks)]
    plain = b"".join(payload.open_at(at, sealed[offset : offset + n]) for at, (offset, n) in enumerate(spans))
    assert len(plain) == layout.plain_size
    return plain


def header_of(sealed: bytes) -> Header:
    return parse_header(sealed)


def test_opens_what_the_age_tool_sealed() -> None:
    pair = KeyPair.parse(IDENTITY)
    assert pair.text() == IDENTITY
    assert hashlib.sha256(pair.recipient.text().encode()).hexdigest() == RECIPIENT_SHA256
    assert unseal(SEALED, pair) == b"Sealed by the age tool.\n"
    header = header_of(SEALED)
    assert SEALED.startswith(encode_header(header.stanzas, open_file_key(header, pair)))


@pytest.mark.skipif(not shutil.which(AGE), reason="SEALGATE_AGE names no age binary (1.3 or later)")
@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 1_000_001])
def test_interoperates_with_the_age_tool(tmp_path: Path, size: int) -> None:
    plain = os.urandom(size)
    (tmp_path / "identity").write_text(PAIR.text())
    (tmp_path / "ours.age").write_bytes(seal(plain, file_key=os.urandom(16), nonce=os.urandom(16)))
    opened = subprocess.run([AGE, "-d", "-i", "identity", "ours.age"], cwd=tmp_path, capture_output=True, check=True)
    assert opened.stdout == plain
    theirs = subprocess.run([AGE, "-r", PAIR.recipient.text()], input=plain, capture_output=True, check=True)
    assert unseal(theirs.stdout) == plain


def test_keys_as_text_and_as_nothing_else() -> None:
    assert KeyPair.parse(PAIR.text()).recipient == PAIR.recipient == Recipient.parse(PAIR.recipient.text())
    assert len(PAIR.recipient.public) == 1216
    assert len(PAIR.recipient.text()) == 1959
    for shown in (repr(PAIR), str(PAIR), f"{[PAIR]}"):
        assert PAIR.seed.hex() not in shown
        assert repr(PAIR.seed) not in shown
        assert "SECRET" not in shown
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(PAIR)


def identity_text(length: int, *, padding: int = 0) -> str:
    """An identity of another length, or with a padding bit set, under a checksum that holds."""
    hrp = "AGE-SECRET-KEY-PQ-"
    bits = -(-length * 8 // 5) * 5
    value = int.from_bytes(bytes(length), "big") | padding
    symbols = [value >> at & 31 for at in range(bits - 5, -1, -5)]
    checksum = age_recipient._polymod([*age_recipient._expand(hrp), *symbols, *[0] * 6]) ^ 1
    symbols += [checksum >> 5 * at & 31 for at in range(5, -1, -1)]
    return f"{hrp}1" + "".join(age_recipient._CHARSET[each] for each in symbols).upper()


IDENTITY_CASES: dict[str, str] = {
    "empty": "",
    "lower case": IDENTITY.lower(),
    "mixed case": IDENTITY[:-1] + IDENTITY[-1].lower(),
    "another prefix": IDENTITY.replace("-PQ-", "-"),
    "a recipient": PAIR.recipient.text(),
    "wrong letter": IDENTITY[:-9] + ("Q" if IDENTITY[-9] != "Q" else "P") + IDENTITY[-8:],
    "letter outside the alphabet": IDENTITY[:-9] + "B" + IDENTITY[-8:],
    "two letters swapped": IDENTITY[:30] + IDENTITY[31] + IDENTITY[30] + IDENTITY[32:],
    "cut": IDENTITY[:-1],
    "space at the end": IDENTITY + " ",
    "no data": "AGE-SECRET-KEY-PQ-1",
    "31 bytes": identity_text(31),
    "33 bytes": identity_text(33),
    "padding not zero": identity_text(32, padding=1),
}


@pytest.mark.parametrize("text", IDENTITY_CASES.values(), ids=IDENTITY_CASES.keys())
def test_identity_refused(text: str) -> None:
    with pytest.raises(SealedError, match=r"^SEALED_KEY_TEXT: identity: ") as caught:
        KeyPair.parse(text)
    assert len(text) < 20 or text[20:40] not in str(caught.value)


def test_a_long_text_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(SealedError, match=r"at most 2048 characters"):
        KeyPair.parse(identity_text(2000))


RECIPIENT_CASES = {
    "short": PAIR.recipient.public[:-1],
    "long": PAIR.recipient.public + b"x",
    "coefficients out of range": b"\xff" * 1184 + PAIR.recipient.public[1184:],
}


@pytest.mark.parametrize("public", RECIPIENT_CASES.values(), ids=RECIPIENT_CASES.keys())
def test_recipient_refused(public: bytes) -> None:
    with pytest.raises(SealedError, match=r"^SEALED_KEY_TEXT: recipient: "):
        Recipient(public=public)


def test_nothing_is_sealed_to_an_x25519_key_of_low_order() -> None:
    with pytest.raises(SealedError, match=r"^SEALED_KEY_TEXT: recipient: "):
        seal(b"", Recipient(public=PAIR.recipient.public[:1184] + bytes(32)))


BASE = seal(b"plain")
HEADER = BASE[: header_of(BASE).length]
ARGS, BODY = HEADER.split(b"\n")[1:3]
ENC = ARGS.split(b" ")[2]
LAST = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def loosened(text: bytes) -> bytes:
    """The same base64 with an unused bit set."""
    return text[:-1] + LAST[LAST.index(text[-1:]) + 1 :][:1]


def stanzas(*added: Stanza, own: bool = True) -> Callable[[bytes], bytes]:
    """A header with a good MAC over other stanzas."""

    def edit(sealed: bytes) -> bytes:
        header = header_of(sealed)
        kept = header.stanzas if own else ()
        return encode_header([*added, *kept], FILE_KEY) + sealed[header.length :]

    return edit


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    assert old in HEADER
    return lambda sealed: sealed.replace(old, new, 1)


HEADER_CASES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "nothing at all": ("SEALED_HEADER", lambda _: b""),
    "version 2": ("SEALED_HEADER", swap(b"/v1\n", b"/v2\n")),
    "armored": ("SEALED_HEADER", lambda sealed: b"-----BEGIN AGE ENCRYPTED FILE-----\n" + sealed),
    "carriage returns": ("SEALED_HEADER", lambda sealed: HEADER.replace(b"\n", b"\r\n") + sealed[len(HEADER) :]),
    "no stanza": ("SEALED_HEADER", stanzas(own=False)),
    "blank line": ("SEALED_HEADER", swap(b"/v1\n", b"/v1\n\n")),
    "two spaces": ("SEALED_HEADER", swap(b"-> mlkem", b"->  mlkem")),
    "space at the end of the arguments": ("SEALED_HEADER", swap(ARGS, ARGS + b" ")),
    "padded body": ("SEALED_HEADER", swap(BODY, BODY + b"=")),
    "loose bits in the body": ("SEALED_HEADER", swap(BODY, loosened(BODY))),
    "body on two short lines": ("SEALED_HEADER", swap(BODY, BODY[:20] + b"\n" + BODY[20:])),
    "body without its last line": ("SEALED_HEADER", swap(BODY, b"A" * 64)),
    "loose bits in enc": ("SEALED_HEADER", swap(ENC, loosened(ENC))),
    "padded enc": ("SEALED_HEADER", swap(ENC, ENC + b"=")),
    "letter outside base64 in enc": ("SEALED_HEADER", swap(ENC, b"-" + ENC[1:])),
    "enc of 1119 bytes": ("SEALED_HEADER", swap(ENC, ENC[:1492])),
    "third argument": ("SEALED_HEADER", swap(ENC, ENC + b" x")),
    "file key of 17 bytes": ("SEALED_HEADER", swap(BODY, BODY + b"A")),
    "MAC line without a space": ("SEALED_HEADER", swap(b"--- ", b"---")),
    "MAC line with a space more": ("SEALED_HEADER", swap(b"--- ", b"---  ")),
    "loose bits in the MAC": ("SEALED_HEADER", swap(HEADER[-44:-1], loosened(HEADER[-44:-1]))),
    "cut in the MAC": ("SEALED_HEADER", lambda sealed: sealed[: len(HEADER) - 2]),
    "longer than the limit": ("SEALED_HEADER", stanzas(Stanza(args=("x",), body=bytes(age.MAX_HEADER)))),
    "type in upper case": ("SEALED_KEY", swap(b"mlkem768x25519", b"MLKEM768X25519")),
    "another type only": ("SEALED_KEY", stanzas(Stanza(args=("X25519", "x"), body=bytes(32)), own=False)),
    "enc changed": ("SEALED_KEY", swap(ENC, (b"B" if ENC[:1] == b"A" else b"A") + ENC[1:])),
    "body changed": ("SEALED_KEY", swap(BODY, (b"B" if BODY[:1] == b"A" else b"A") + BODY[1:])),
    "stanza added": ("SEALED_MAC", swap(b"-> mlkem", b"-> x\n\n-> mlkem")),
    "MAC changed": (
        "SEALED_MAC",
        swap(b"--- " + HEADER[-44:-43], b"--- " + (b"B" if HEADER[-44:-43] == b"A" else b"A")),
    ),
    "line after the MAC": ("SEALED_CHUNK", lambda sealed: HEADER + b"x\n" + sealed[len(HEADER) :]),
}


@pytest.mark.parametrize(("check", "edit"), HEADER_CASES.values(), ids=HEADER_CASES.keys())
def test_header_refused(check: str, edit: Callable[[bytes], bytes]) -> None:
    with pytest.raises(SealedError, match=rf"^{check}: ") as caught:
        unseal(edit(BASE))
    assert isinstance(caught.value, NotTrusted)
    assert caught.value.check == check


@pytest.mark.parametrize("size", [0, 32, 48, 47, 96])
def test_other_stanzas_are_passed_over(size: int) -> None:
    added = Stanza(args=("example.com/x", "!", "~"), body=bytes(size))
    edited = stanzas(added)(BASE)
    assert header_of(edited).stanzas[0] == added
    assert unseal(edited) == b"plain"


def test_another_key_does_not_open() -> None:
    with pytest.raises(SealedError, match=r"^SEALED_KEY: ") as caught:
        unseal(BASE, OTHER)
    assert PAIR.text() not in str(caught.value)
    assert "age1pq1" in caught.value.expected


THREE = os.urandom(2 * CHUNK + 100)
SEALED_THREE = seal(THREE)
START = len(HEADER) + age.NONCE
C0, C1, C2 = (SEALED_THREE[START + at * (CHUNK + TAG) :][: CHUNK + TAG] for at in range(3))
TOP = SEALED_THREE[:START]
OTHER_FILE = seal(THREE, nonce=bytes(16))[START:][: CHUNK + TAG]


def chunk(index: int, plain: bytes, *, last: bool) -> bytes:
    """A chunk that only the holder of the file key could make."""
    payload = Payload(layout=Layout(start=START, size=len(SEALED_THREE)), file_key=FILE_KEY, nonce=NONCE)
    return payload._aead.encrypt(index.to_bytes(11, "big") + bytes([last]), plain, None)


PAYLOAD_CASES: dict[str, tuple[str, bytes]] = {
    "no nonce": ("SEALED_TRUNCATED", TOP[: -age.NONCE]),
    "half a nonce": ("SEALED_TRUNCATED", TOP[:-8]),
    "no chunk": ("SEALED_TRUNCATED", TOP),
    "half a tag": ("SEALED_TRUNCATED", TOP + C0[:8]),
    "cut after the first chunk": ("SEALED_TRUNCATED", TOP + C0),
    "cut after the second chunk": ("SEALED_TRUNCATED", TOP + C0 + C1),
    "cut within a tag": ("SEALED_TRUNCATED", TOP + C0 + C1 + C2[:15]),
    "cut to a tag": ("SEALED_TRUNCATED", TOP + C0 + C1 + C2[:16]),
    "cut within a chunk": ("SEALED_CHUNK", TOP + C0 + C1[:-1]),
    "cut within the last chunk": ("SEALED_CHUNK", SEALED_THREE[:-1]),
    "first chunk missing": ("SEALED_CHUNK", TOP + C1 + C2),
    "middle chunk missing": ("SEALED_CHUNK", TOP + C0 + C2),
    "chunks swapped": ("SEALED_CHUNK", TOP + C1 + C0 + C2),
    "chunk repeated": ("SEALED_CHUNK", TOP + C0 + C0 + C2),
    "byte appended": ("SEALED_CHUNK", SEALED_THREE + b"x"),
    "file appended": ("SEALED_CHUNK", SEALED_THREE + SEALED_THREE),
    "last chunk twice": ("SEALED_CHUNK", SEALED_THREE + C2),
    "chunk of another file": ("SEALED_CHUNK", TOP + OTHER_FILE + C1 + C2),
    "last chunk empty": ("SEALED_TRUNCATED", TOP + C0 + chunk(1, b"", last=True)),
    "last chunk in the middle": ("SEALED_CHUNK", TOP + C0 + chunk(1, bytes(CHUNK), last=True) + C2),
    "short chunk in the middle": ("SEALED_CHUNK", TOP + C0 + chunk(1, b"x", last=False) + C2),
}


@pytest.mark.parametrize(("check", "sealed"), PAYLOAD_CASES.values(), ids=PAYLOAD_CASES.keys())
def test_payload_refused(check: str, sealed: bytes) -> None:
    assert unseal(SEALED_THREE) == THREE
    with pytest.raises(SealedError, match=rf"^{check}: "):
        unseal(sealed)


SIZES = st.builds(lambda chunks, extra: max(chunks * CHUNK + extra, 0), st.integers(0, 3), st.integers(-2, 2))


@settings(deadline=None, max_examples=60)
@given(size=SIZES | st.integers(0, 3 * CHUNK), file_key=st.binary(min_size=16, max_size=16))
def test_round_trip(size: int, file_key: bytes) -> None:
    plain = os.urandom(size)
    sealed = seal(plain, file_key=file_key)
    assert len(sealed) == START + size + TAG * max(1, -(-size // CHUNK))
    assert unseal(sealed) == plain


@settings(deadline=None, max_examples=200)
@given(at=st.integers(0, START + 200) | st.integers(0, len(SEALED_THREE) - 1), bit=st.integers(0, 7))
def test_a_flip_anywhere_is_refused(at: int, bit: int) -> None:
    edited = bytearray(SEALED_THREE)
    edited[at] ^= 1 << bit
    with pytest.raises(SealedError):
        unseal(bytes(edited))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=400))
def test_whatever_the_bytes_only_sealed_errors_leave(junk: bytes) -> None:
    for sealed in (junk, b"age-encryption.org/v1\n" + junk, b"age-encryption.org/v1\n" + ARGS + b"\n" + junk):
        with pytest.raises(SealedError):
            unseal(sealed)


class Dribble(io.RawIOBase):
    """A pipe that gives at most 1000 bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def read(self, size: int = -1, /) -> bytes:
        piece, self.rest = self.rest[: min(size, 1000)], self.rest[min(size, 1000) :]
        return piece


def test_short_reads_do_not_make_short_chunks() -> None:
    sink = io.BytesIO()
    age.seal(cast("BinaryIO", Dribble(THREE)), sink, PAIR.recipient, file_key=FILE_KEY, nonce=NONCE)
    assert unseal(sink.getvalue()) == THREE


@pytest.mark.parametrize(("file_key", "nonce"), [(bytes(15), bytes(16)), (bytes(16), bytes(17))])
def test_randomness_of_another_length_is_a_mistake_of_ours(file_key: bytes, nonce: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes each"):
        seal(b"", file_key=file_key, nonce=nonce)
