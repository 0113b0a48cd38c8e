"""The catalogue brought forward by what changed is the catalogue read as a whole; and it costs what changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from attest.tlog.entry import canonical
from kbs.catalog.current import CurrentCatalogue
from kbs.catalog.register import key_version_document, put
from kbs.catalog.snapshot import evolve, load, read_object, reload, snapshot_of
from kbs.model.asset import Changed, Object, Snapshot
from kbs.model.effect import DropObject
from kbs.model.names import AssetName
from kbs.model.unit import Committed, Unit, Verdict
from tests.kbs.catalog.test_documents import GOOD
from tests.makers import site as maker
from tests.makers.site import ASSET, SimulatedSite

EMPTY = snapshot_of({}, 0, 0)
A, B = (AssetName.parse(f"tenants/acme/assets/{name}") for name in "ab")


def _object(kind: str, name: str, document: Mapping[str, Any]) -> tuple[str, Object]:
    data = canonical({"v": f"sealgate.{kind}/1", **document})
    reading = read_object(kind, name, data)
    return name, Object(kind=kind, digest=hashlib.sha256(data).digest(), document=data, reading=reading)


def _good(kind: str, name: str, **changed: Any) -> tuple[str, Object]:
    document = {key: value for key, value in GOOD[kind][1].items() if key != "v"}
    return _object(kind, name, document | {"name": name} | changed)


def _version(asset: AssetName, number: int, state: str) -> tuple[str, Object]:
    document = {**key_version_document(asset, number, bytes(1_216)), "state": state}
    return _object("key-version", asset.key_version(number), document)


# Every name with the documents that it may have, one after the other, or none.
POOL: list[tuple[str, Object]] = [
    *(_good("asset", str(asset), owner=owner) for asset in (A, B) for owner in ("x", "y")),
    *(_version(a, n, state) for a in (A, B) for n in (1, 2, 10) for state in ("enabled", "disabled", "destroyed")),
    *(_object("lock", f"locks/{n}", {"name": f"locks/{n}", "target": t}) for n in (1, 2) for t in ("", "tenants/acme")),
    *(
        _object(
            "principal", f"principals/{n}", {"id": n, "key_sha256": key * 32, "roles": ["auditor"], "tenants": ["acme"]}
        )
        for n, keys in (("p", ("aa", "bb")), ("q", ("cc", "dd")))
        for key in keys
    ),
    *(_good("profile", name) for name in ("tenants/acme/profiles/p", "tenants/acme/profiles/q")),
    *(_good("reference-set", "tenants/acme/referenceSets/r", shared=shared) for shared in (False, True)),
]
PLACES = st.integers(0, len(POOL) - 1)
STEPS = st.lists(st.tuples(st.lists(PLACES, max_size=4), st.sets(PLACES, max_size=2)), max_size=12)


class _Reader:
    """A store of objects in memory: each with the index of the entry that wrote it."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[int, Object]] = {}
        self.index = 0

    def step(self, written: Mapping[str, Object], gone: frozenset[str]) -> None:
        self.index += 1
        self.held |= {name: (self.index, each) for name, each in written.items()}
        for name in gone:
            self.held.pop(name, None)

    def _rows(self, index: int) -> list[tuple[str, str, bytes, bytes]]:
        return [(n, o.kind, o.digest, o.document) for n, (at, o) in self.held.items() if at > index]

    def objects(self) -> tuple[int, int, list[tuple[str, str, bytes, bytes]]]:
        return self.index, self.index, self._rows(-1)

    def objects_since(self, index: int) -> Changed:
        return Changed(revision=self.index, governance=self.index, count=len(self.held), rows=self._rows(index))

    def object_names(self) -> list[str]:
        return list(self.held)


@given(STEPS)
def test_step_by_step_is_the_same_as_all_at_once(
    steps: list[tuple[list[int], set[int]]],
) -> None:
    reader, snapshot, objects = _Reader(), EMPTY, dict[str, Object]()
    evolved = EMPTY
    for number, (writes, drops) in enumerate(steps, 1):
        written, gone = {POOL[n][0]: POOL[n][1] for n in writes}, frozenset(POOL[at][0] for at in drops)
        reader.step(written, gone)
        objects = {name: each for name, each in (objects | written).items() if name not in gone}
        evolved = evolve(evolved, written, gone, number, number)
        snapshot = reload(reader, snapshot)
        assert evolved == snapshot_of(objects, number, number)
        assert snapshot == load(reader) == evolved


async def test_from_the_store_what_did_not_change_is_not_read_again(site: SimulatedSite) -> None:
    with site.open() as running:
        current = CurrentCatalogue(running.reader)
        before = current.current()
        other = "tenants/acme/assets/other"
        entry = maker.draft_of(running)
        await maker.register(running, [put("asset", other, maker.asset_document(name=other), entry=entry)])
        read: list[int] = []
        real = running.reader.objects_since

        def counted(index: int) -> Changed:
            changed: Changed = real(index)
            read.append(len(changed.rows))
            return changed

        running.reader.objects_since = counted  # type: ignore[method-assign]
        after = current.current()
        assert read == [1]
        assert after == load(running.reader)
        assert after.objects[ASSET] is before.objects[ASSET]
        assert current.current() is after
        draft = entry(entry_type="asset.deleted", tenant="acme", name=other, old=after.objects[other].digest, new=b"")
        unit = Unit(verdict=Verdict(draft=draft, effects=(DropObject(name=other),)))
        assert isinstance((await running.door.commit([unit]))[0], Committed)
        gone: Snapshot = current.current()
        assert gone == load(running.reader)
        assert other not in gone.objects
        assert other not in gone.assets
