"""Input over lines that break: what the sending side keeps and repeats, against what the receiving side takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from neuro_platform.engines.supervisor.streams import Arrivals
from neuro_sdk._outbox import Outbox
from neuro_sdk.wire.frames import Frame, Kind

# the next thing that happens: bytes are written, a frame goes over, an acknowledgement comes back, the line breaks
steps = st.lists(
    st.one_of(st.binary(min_size=1, max_size=50_000), st.sampled_from(["send", "send", "lose", "ack", "break"])),
    max_size=60,
)


class Program:
    """The other end: what a program behind the line has read."""

    def __init__(self) -> None:
        self.read = b""
        self._arrivals = Arrivals()
        self._acks: list[int] = []

    @property
    def ended(self) -> bool:
        return self._arrivals.ended

    def connect(self) -> int:
        self._acks.clear()  # what was on its way is gone
        return self._arrivals.position

    def take(self, frame: Frame) -> None:
        if frame.kind == Kind.EOF:
            self._arrivals.end(frame)
            return
        self.read += self._arrivals.take(frame)
        self._acks.append(self._arrivals.position)

    def ack(self) -> int | None:
        return self._acks.pop(0) if self._acks else None


@given(steps)
def test_input_arrives_once_and_in_order_however_the_line_breaks(happens: list[bytes | str]) -> None:
    outbox, program = Outbox(), Program()
    outbox.ack(program.connect())
    written = b""

    for step in happens:
        if isinstance(step, bytes):
            outbox.put(step)
            written += step
        elif step == "send" and (frame := outbox.next()):
            program.take(frame)
        elif step == "ack" and (offset := program.ack()) is not None:
            outbox.ack(offset)
        elif step in ("break", "lose"):
            if step == "lose":
                outbox.next()  # it was sent, and never came
            outbox.disconnected()
            outbox.ack(program.connect())
    outbox.ended = True
    while frame := outbox.next():
        program.take(frame)

    assert program.read == written
    assert program.ended


def test_nothing_is_sent_before_the_other_side_has_said_what_it_has() -> None:
    outbox = Outbox()
    outbox.put(b"abc")

    assert outbox.next() is None
    outbox.ack(0)
    assert outbox.next() == Frame(Kind.STDIN, 0, b"abc")


def test_what_is_acknowledged_is_not_kept() -> None:
    outbox = Outbox()
    outbox.ack(0)
    outbox.put(b"abcdef")
    outbox.next()

    outbox.ack(4)

    assert outbox.held == 2


def test_input_goes_after_that_of_others() -> None:
    outbox = Outbox()
    outbox.ack(100)
    outbox.put(b"abc")

    outbox.ack(250)

    assert outbox.next() == Frame(Kind.STDIN, 250, b"abc")


def test_a_program_that_was_started_again_gets_what_the_one_before_did_not_take() -> None:
    outbox = Outbox()
    outbox.ack(0)
    outbox.put(b"abcdef")
    outbox.next()
    outbox.ack(2)
    outbox.ended = True

    outbox.disconnected()
    outbox.ack(0)

    assert outbox.next() == Frame(Kind.STDIN, 0, b"cdef")
    assert outbox.next() == Frame(Kind.EOF, 4, b"")
