"""Lines of output: times in front of them wherever the output is cut, the first so many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from neuro_sdk.wire.frames import MOMENT, Frame, Kind
from neuro_sdk.wire.lines import Stamper, cut, stamp

ONE, OTHER = 1_767_323_045_678, 1_767_323_046_000


def written(data: bytes, offset: int = 0) -> Frame:
    return Frame(Kind.STDOUT, offset, data)


def time(moment: int) -> Frame:
    return Frame(Kind.TIME, 0, MOMENT.pack(moment))


def test_a_time_is_rfc_3339_in_utc() -> None:
    assert stamp(ONE) == "2026-01-02T03:04:05.678Z"


def test_a_line_has_the_time_of_its_first_byte() -> None:
    stamper = Stamper()
    frames = [time(ONE), written(b"a\n\nb"), time(OTHER), written(b"c\nd"), Frame(Kind.PING, 0, b""), written(b"")]

    text = b"".join(stamper.text(frame) for frame in frames)

    one, other = stamp(ONE).encode(), stamp(OTHER).encode()
    assert text == one + b" a\n" + one + b" \n" + one + b" bc\n" + other + b" d"


def test_without_times_output_stays_as_it_is() -> None:
    assert Stamper().text(written(b"a\nb")) == b"a\nb"


@given(st.lists(st.sampled_from([b"", b"\n", b"a", b"a\n", b"\n\n", b"a\nb"])), st.data())
def test_it_does_not_matter_where_output_is_cut(pieces: list[bytes], data: st.DataObject) -> None:
    whole, cut_up = Stamper(), Stamper()
    output = b"".join(pieces)
    whole.text(time(ONE))

    found = b""
    for piece in pieces:
        if data.draw(st.booleans()):
            cut_up.text(time(ONE))  # as after a connection that broke
        found += cut_up.text(time(ONE)) + cut_up.text(written(piece))

    assert found == whole.text(written(output))


@given(st.binary().map(lambda data: data.replace(b"a", b"\n")), st.integers(0, 20))
def test_the_first_lines(data: bytes, lines: int) -> None:
    assert data[: cut(data, lines)] == _first(data, lines)


def _first(data: bytes, lines: int) -> bytes:
    pieces = data.split(b"\n")
    return data if len(pieces) <= lines else b"".join(piece + b"\n" for piece in pieces[:lines])
