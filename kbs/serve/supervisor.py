"""Keeps processes running: it execs them, hands each what it needs, starts again who dies, and drains at SIGTERM.

It serves nothing itself and loads neither gRPC nor the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["ChildSpec", "Died", "Supervisor"]

_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.5, 30.0
_STEADY_S = 60.0
_KILL_AFTER_S = 10.0
Say = Callable[[str], object]


class Died(Exception):
    """A child ended before it served; `code` is its exit code."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"{name} {_how(code)} before it served")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ChildSpec:
    """A process to keep: its name for people, the arguments of `sealgate-broker`, the line it is handed."""

    name: str
    arguments: Sequence[str]
    line: bytes


class Supervisor:
    """`run` starts all, says so, and returns the exit code once all have ended. `program` is this command to Python."""

    def __init__(self, specs: Sequence[ChildSpec], say: Say, *, drain_s: float, program: Sequence[str]) -> None:
        self._children = [_Child(spec, program) for spec in specs]
        self._say = say
        self._drain_s = drain_s
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begins the end."""
        self._stopping.set()

    async def run(self, ready: Callable[[list[dict[str, Any]]], str]) -> int:
        """1. start all; one that does not come up ends the start  2. say what `ready` makes of what they announced
        3. start again whoever dies  4. at `stop`, drain and wait, and kill who does not end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        try:
            announced = await asyncio.gather(*(child.start() for child in self._children))
            self._say(ready(list(announced)))
            await asyncio.gather(*(self._keep(child) for child in self._children))
        except Died as error:
            self._say(str(error))
            await self._end()
            return error.code if error.code > 0 else 5
        await self._end()
        self._say("drained; everything has ended")
        return 0

    async def _keep(self, child: _Child) -> None:
        delay = _FIRST_DELAY_S
        while not self._stopping.is_set():
            began = asyncio.get_running_loop().time()
            ended = asyncio.create_task(child.wait())
            stopped = asyncio.create_task(self._stopping.wait())
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if self._stopping.is_set():
                ended.cancel()
                return
            if asyncio.get_running_loop().time() - began > _STEADY_S:
                delay = _FIRST_DELAY_S
            self._say(f"{child.name} {_how(ended.result())}; it is started again in {delay:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            delay = min(2 * delay, _LONGEST_DELAY_S)
            await self._again(child)

    async def _again(self, child: _Child) -> None:
        if self._stopping.is_set():
            return
        try:
            await child.start()
        except Died as error:
            self._say(str(error))
        else:
            self._say(f"{child.name} serves again")

    async def _end(self) -> None:
        for child in self._children:
            child.terminate()
        waiting = asyncio.gather(*(child.wait() for child in self._children))
        try:
            await asyncio.wait_for(waiting, self._drain_s + _KILL_AFTER_S)
        except TimeoutError:
            for child in self._children:
                if child.kill():
                    self._say(f"{child.name} did not drain and was killed")
            await asyncio.gather(*(child.wait() for child in self._children))


class _Child:
    """One process, with the write end of the pipe that it lives by."""

    def __init__(self, spec: ChildSpec, program: Sequence[str]) -> None:
        self._spec = spec
        self._program = program
        self._process: asyncio.subprocess.Process | None = None
        self._life = -1

    @property
    def name(self) -> str:
        """For people."""
        return self._spec.name

    async def start(self) -> dict[str, Any]:
        """Execs the process and waits until it says that it serves; raises Died."""
        life, self._life = os.pipe()
        status, announcing = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *self._program, *self._spec.arguments,
                "--life-fd", str(life), "--status-fd", str(announcing),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(life, announcing),
            )  # fmt: skip
        finally:
            os.close(life)
            os.close(announcing)
        # In threads: the line may be longer than a pipe holds, and the announcement takes as long as it takes.
        handing = asyncio.to_thread(_write, self._life, self._spec.line)
        _, said = await asyncio.gather(handing, asyncio.to_thread(_read_line, status))
        if not said:
            raise Died(self.name, await self.wait())
        announced: dict[str, Any] = json.loads(said)
        return announced

    async def wait(self) -> int:
        """The exit code, negative for a signal, once it has ended."""
        if self._process is None:
            return 0
        code = await self._process.wait()
        if self._life >= 0:
            os.close(self._life)
            self._life = -1
        return code

    def terminate(self) -> None:
        """Asks it to drain."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    def kill(self) -> bool:
        """Ends it; whether it still ran."""
        if self._process is None or self._process.returncode is not None:
            return False
        self._process.kill()
        return True


def _write(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # it died; its exit code says more
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]


def _read_line(descriptor: int) -> bytes:
    """Up to the end of the line, or of the process."""
    with os.fdopen(descriptor, "rb") as file:
        return file.readline()


def _how(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
