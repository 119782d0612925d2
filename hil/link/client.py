"""The host's side of the link: one request at a time, asked again until it is answered, or an error in bounded time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar

from hil.errors import DeviceFault, DeviceHang, DeviceRefused, LinkError, LinkTimeout
from hil.link import messages
from hil.link.framing import Deframer, Frame
from hil.link.messages import (
    ANSWER,
    Answer,
    BadMessage,
    Fault,
    Hello,
    Kind,
    Memory,
    RunResult,
    RunState,
    Span,
    Time,
    u32,
)
from hil.link.transport import Transport, open_url

T = TypeVar("T")

_READ_SIZE = 65536
_KEPT_LINES = 200


class Link:
    """A conversation with one device.

    `timeout` is how long one try waits, in seconds, beside the time that its bytes take on the wire; `tries` how often
    a request is sent before `LinkTimeout`. A repeated request carries the same sequence number, so a device never
    does it twice. `on_log` gets each log line of the device; the last 200 are in `log`.
    `symbolize` names a code address in fault reports. `board` names the device in messages until HELLO does; where
    `place` is set, which says where it is in words, that does.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        baud: int = 921_600,
        timeout: float = 2.0,
        tries: int = 4,
        poll: float = 10.0,
        on_log: Callable[[str], None] | None = None,
        symbolize: Callable[[int], str] | None = None,
        board: str = "",
    ) -> None:
        self.transport = transport
        self.timeout, self.tries, self.poll = timeout, tries, poll
        self.on_log, self.symbolize = on_log, symbolize
        self.log: deque[str] = deque(maxlen=_KEPT_LINES)
        self.retries = 0
        """Requests that had to be sent again since the link was opened."""
        self.place = ""
        self._board = board
        self._seconds_a_byte = 10 / baud
        self._deframer = Deframer()
        self._arrived: deque[Frame] = deque()
        self._sequence = 0
        self._run = 0
        self._hello: Hello | None = None
        self._result: RunResult | None = None

    @classmethod
    def open(
        cls,
        url: str,
        baud: int = 921_600,
        *,
        timeout: float = 2.0,
        tries: int = 4,
        on_log: Callable[[str], None] | None = None,
        symbolize: Callable[[int], str] | None = None,
        board: str = "",
    ) -> Self:
        """Open a device path or pyserial URL. Raises `BoardMissing`."""
        transport = open_url(url, baud)
        return cls(transport, baud=baud, timeout=timeout, tries=tries, on_log=on_log, symbolize=symbolize, board=board)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the port."""
        self.transport.close()

    def hello(self) -> Hello:
        """Start a session: who is there, and what it has loaded. Forgets everything about a session before."""
        self._sequence = 0
        payload = self._request(Kind.HELLO, b"")
        found = self._decode(Kind.HELLO, payload, messages.decode_hello)
        self._hello = found
        if found.loaded:
            found = replace(
                found,
                inputs=self._tensors(0, found.input_count, found.arena_needed),
                outputs=self._tensors(1, found.output_count, found.arena_needed),
            )
        self._hello = found
        return found

    @property
    def device(self) -> Hello:
        """What HELLO said; asks if nobody did yet."""
        return self._hello or self.hello()

    def write(self, offset: int, data: bytes) -> None:
        """Put `data` into the arena at `offset`; any length."""
        chunk = self.device.mtu - 4
        for at in range(0, len(data), chunk):
            self._request(Kind.WRITE, u32(offset + at) + data[at : at + chunk])

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes of the arena from `offset`; any length."""
        chunk = self.device.mtu
        out = bytearray()
        while len(out) < length:
            size = min(chunk, length - len(out))
            payload = self._request(Kind.READ, u32(offset + len(out), size))
            if len(payload) != size:
                raise self._broken(Kind.READ, f"{len(payload)} bytes where {size} were asked for")
            out += payload
        return bytes(out)

    def paint(self, byte: int) -> None:
        """Fill the whole arena with `byte`, and the free part of every stack with the firmware's own paint."""
        self._request(Kind.PAINT, u32(byte))

    def run(
        self, first: int = 0, count: int = 0, *, jitter: int = 0, alone: int | None = None, limit: float = 60.0
    ) -> RunResult:
        """Run `count` steps from `first` (0: all that remain) and wait for the end, at most `limit` seconds.

        `jitter` other than 0 seeds random delays of every core before each of its steps: results must not change.
        With `alone`, core 0 runs those of the steps that are of that core, without meeting the others.

        Raises `DeviceHang` if the device is silent for longer, `DeviceRefused` if the engine reports an error.
        """
        sent = time.monotonic()
        self.begin_run(first, count, jitter=jitter, alone=alone)
        result = self.end_run(limit=sent + limit - time.monotonic())
        if result.status != 0:
            why = messages.ENGINE_TEXT.get(result.status, f"engine status {result.status}")
            raise DeviceRefused(f"{self._name()}: the run stopped at step {result.step}: {why}")
        return result

    def begin_run(
        self,
        first: int = 0,
        count: int = 0,
        *,
        jitter: int = 0,
        alone: int | None = None,
        repeat: int = 1,
        run: int | None = None,
        patience_us: int = 2_000_000,
        retry_us: int = 20_000,
    ) -> int:
        """Ask for a run, and come back as soon as the device accepted it; `end_run` waits for its end.

        The steps are run `repeat` times, one inference after the other. Of several nodes each gets the same `run`, the
        first inference's number on the network; a cluster's next run begins at `run + repeat` or later, never earlier.
        Node 0 is asked last: it starts the others. A node gives the run up when nothing of its transfers moved for
        `patience_us`, and asks again for what did not come after `retry_us`.

        Gives the run's number. Raises `DeviceRefused`, and `LinkTimeout` if the line is dead.
        """
        _ = self.device
        self._run = self._run % 0xFFFF_FFFF + 1 if run is None else run
        part = 0 if alone is None else alone + 1
        self._result = self._start_run(u32(self._run, first, count, jitter, part, repeat, patience_us, retry_us))
        return self._run

    def end_run(self, *, limit: float = 60.0) -> RunResult:
        """The result of the run that was begun last, after at most `limit` seconds, whatever its status says.

        Raises `DeviceHang` if it does not end.
        """
        deadline = time.monotonic() + limit
        while self._result is None:
            self._result = self._await_done(self._run, deadline)
        return self._result

    def poll_run(self, seconds: float) -> RunResult | None:
        """The result of the run that was begun last, if it comes within so many seconds. Nothing is asked."""
        if self._result is None:
            for frame in self._frames(time.monotonic() + seconds):
                if (result := self._finished(frame, self._run)) is not None:
                    self._result = result
                    break
        return self._result

    def abort(self, *, limit: float = 60.0) -> Hello:
        """Get a node back that waits for its peers: a new session ends the run. It is deaf while it computes.

        Raises `LinkTimeout` if it does not answer within `limit` seconds.
        """
        deadline = time.monotonic() + limit
        while True:
            try:
                return self.hello()
            except LinkTimeout:
                if time.monotonic() >= deadline:
                    raise

    def status(self) -> RunResult:
        """The result of the last run."""
        return self._decode(Kind.STATUS, self._request(Kind.STATUS, b""), messages.decode_result)

    def memory(self) -> Memory:
        """What was used since the last `paint`."""
        device = self.device
        payload = self._request(Kind.MEMORY, b"")
        return self._decode(Kind.MEMORY, payload, lambda p: messages.decode_memory(p, device.cores, device.arena_room))

    def time(self) -> Time:
        """The device's clocks."""
        return self._decode(Kind.TIME, self._request(Kind.TIME, b""), messages.decode_time)

    def echo(self, data: bytes) -> bytes:
        """What the device sends back for `data`, at most MTU bytes."""
        return self._request(Kind.ECHO, data)

    # ---- one request

    def _request(self, kind: Kind, payload: bytes) -> bytes:
        """The answer's payload. Raises for an error status, a fault, silence, or a lost line."""
        if kind is not Kind.HELLO and self._hello is None:
            self.hello()
        frame = self._numbered(kind, payload)
        for attempt in range(self.tries):
            self.retries += attempt > 0
            self._send(frame)
            answer = self._await_answer(frame, time.monotonic() + self._patience(payload))
            if answer is not None:
                return self._checked(kind, answer)
        dropped = f", {self._deframer.dropped} damaged frames dropped" if self._deframer.dropped else ""
        raise LinkTimeout(
            f"{self._name()}: no valid answer to {kind.name} (sequence {frame.sequence}) after {self.tries} tries of "
            f"{self._patience(payload):.1f} s{dropped}",
            hint=f"check power, cable and baud rate; what the board sends: hil monitor {self.transport.name}",
        )

    def _numbered(self, kind: Kind, payload: bytes) -> Frame:
        """A request with a sequence number of its own: 0 for HELLO, then 1..65535 round and round."""
        if kind is Kind.HELLO:
            return Frame(kind, 0, payload)
        self._sequence = self._sequence % 0xFFFF + 1
        return Frame(kind, self._sequence, payload)

    def _patience(self, payload: bytes) -> float:
        device = self._hello
        longest = device.mtu if device else 1024
        return self.timeout + (len(payload) + longest + 100) * self._seconds_a_byte

    def _await_answer(self, request: Frame, deadline: float) -> Frame | None:
        """The answer to `request`, or None at the deadline. Answers to earlier requests are stale and ignored."""
        for frame in self._frames(deadline):
            if frame.kind == request.kind | ANSWER and frame.sequence == request.sequence:
                return frame
        return None

    def _checked(self, kind: Kind, answer: Frame) -> bytes:
        if answer.status == Answer.OK:
            return answer.payload
        why = messages.ANSWER_TEXT.get(answer.status, f"status {answer.status}")
        if answer.status == Answer.NO_PROGRAM and self._hello:
            why += f": {messages.ENGINE_TEXT.get(self._hello.load_status, f'engine status {self._hello.load_status}')}"
        raise DeviceRefused(f"{self._name()}: {kind.name} refused: {why}")

    def _tensors(self, which: int, count: int, arena: int) -> tuple[Span, ...]:
        found: list[Span] = []
        while len(found) < count:
            payload = self._request(Kind.TENSORS, u32(which, len(found)))
            part = self._decode(Kind.TENSORS, payload, lambda p: messages.decode_tensors(p, count, arena))
            if not part or len(found) + len(part) > count:
                raise self._broken(Kind.TENSORS, f"{len(part)} more entries behind {len(found)} of {count}")
            found += part
        return tuple(found)

    # ---- runs

    def _start_run(self, payload: bytes) -> RunResult | None:
        """Ask for a run until it is accepted. The result, if that comes first: the acceptance may get lost.

        A device is deaf while it runs, so tries without an answer do not mean that it is not running.
        """
        run = self._run
        request = self._numbered(Kind.RUN, payload)
        for attempt in range(self.tries):
            self.retries += attempt > 0
            self._send(request)
            for frame in self._frames(time.monotonic() + self._patience(payload)):
                if frame.sequence != request.sequence:
                    continue
                if frame.kind == Kind.RUN | ANSWER:
                    self._checked(Kind.RUN, frame)
                    return None
                if (result := self._finished(frame, run)) is not None:
                    return result
        return None

    def _await_done(self, run: int, deadline: float) -> RunResult | None:
        """Wait for DONE; now and then, and at the deadline, ask for STATUS, in case DONE got lost."""
        now = time.monotonic()
        for frame in self._frames(min(deadline, now + self.poll)):
            if (result := self._finished(frame, run)) is not None:
                return result
        last = time.monotonic() >= deadline
        for _ in range(self.tries if last else 1):
            asked = self._numbered(Kind.STATUS, b"")
            self._send(asked)
            for frame in self._frames(time.monotonic() + self._patience(b"")):
                if (result := self._finished(frame, run)) is not None:
                    return result
                if frame.kind == Kind.STATUS | ANSWER and frame.sequence == asked.sequence:
                    self._runs_still(frame, run, last)
                    return None
        if last:
            raise DeviceHang(
                f"{self._name()}: no sign of run {run} ending, and no answer to STATUS in {self.tries} tries",
                hint="power-cycle the board; raise the limit if the model is that slow",
            )
        return None

    def _runs_still(self, frame: Frame, run: int, last: bool) -> None:
        """Raise for an answer to STATUS that says that `run` never began, or that it should have ended."""
        found = self._decode(Kind.STATUS, self._checked(Kind.STATUS, frame), messages.decode_result)
        if found.state is not RunState.RUNNING or found.run != run:
            raise LinkTimeout(f"{self._name()}: alive, but RUN never reached it in {self.tries} tries")
        if last:
            raise DeviceHang(f"{self._name()}: run {run} did not end: it waits for its peers", hint="see what they say")

    def _finished(self, frame: Frame, run: int) -> RunResult | None:
        """The result of `run`, if `frame` carries it."""
        if frame.kind not in (Kind.DONE, Kind.STATUS | ANSWER) or frame.status != Answer.OK:
            return None
        result = self._decode(Kind.DONE, frame.payload, messages.decode_result)
        return result if result.state is RunState.FINISHED and result.run == run else None

    # ---- frames

    def _frames(self, deadline: float) -> Iterable[Frame]:
        """Frames as they come, until the deadline, however much garbage comes between.

        Log lines are handed over, a fault is raised.
        """
        while True:
            while self._arrived:
                frame = self._arrived.popleft()
                if frame.kind == Kind.LOG:
                    self._logged(messages.decode_log(frame.payload))
                elif frame.kind == Kind.FAULT:
                    raise self._faulted(self._decode(Kind.FAULT, frame.payload, messages.decode_fault))
                else:
                    yield frame
            left = deadline - time.monotonic()
            if left <= 0:
                return
            try:
                data = self.transport.read(_READ_SIZE, left)
            except LinkError as error:
                raise self._named(error) from error
            self._arrived += self._deframer.feed(data)

    def _send(self, frame: Frame) -> None:
        try:
            self.transport.write(frame.encode())
        except LinkError as error:
            raise self._named(error) from error

    def _named(self, error: LinkError) -> LinkError:
        """A transport knows its port only: add the board."""
        why = error.message.removeprefix(f"{self.transport.name}: ")
        return type(error)(f"{self._name()}: {why}", hint=error.hint or "hil boards")

    def _logged(self, line: str) -> None:
        self.log.append(line)
        if self.on_log:
            self.on_log(line)

    def _faulted(self, fault: Fault) -> DeviceFault:
        def code(address: int) -> str:
            return f"{address:#010x} ({self.symbolize(address)})" if self.symbolize else f"{address:#010x}"

        names = ("r0", "r1", "r2", "r3", "r12", "sp", "xpsr")
        registers = " ".join(f"{name} {getattr(fault, name):#010x}" for name in names)
        return DeviceFault(
            f"{self._name()}: {fault.name} on core {fault.core} in step {fault.step} at pc {code(fault.pc)}, "
            f"called from lr {code(fault.lr)}; {registers}",
            hint="reset the board; the fault repeats until then",
        )

    def _decode(self, kind: Kind, payload: bytes, decode: Callable[[bytes], T]) -> T:
        try:
            return decode(payload)
        except BadMessage as error:
            raise self._broken(kind, str(error)) from error

    def _broken(self, kind: Kind, why: str) -> LinkError:
        return LinkError(f"{self._name()}: {kind.name}: the device sent nonsense in a sound frame: {why}")

    def _name(self) -> str:
        if self.place:
            return self.place
        name = self._hello.board if self._hello else self._board
        return f"{name} on {self.transport.name}" if name else self.transport.name
