from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro_sdk.wire.frames import HEADER, Frame, Kind, Unpacker, pack, unpack

OUTPUT = (Kind.STDIN, Kind.STDOUT, Kind.STDERR)

frames = st.builds(
    Frame, st.sampled_from(list(Kind)).map(int), st.integers(min_value=0, max_value=2**63), st.binary(max_size=60)
)


def test_a_frame_is_13_bytes_and_its_payload() -> None:
    assert pack(Kind.STDERR, 258, b"oops") == b"\x02" + b"\0\0\0\0\0\0\x01\x02" + b"\0\0\0\x04" + b"oops"


@given(frames)
def test_what_is_packed_is_unpacked(frame: Frame) -> None:
    assert unpack(pack(*frame)) == frame


@given(frames, st.integers(min_value=-HEADER.size, max_value=5).filter(bool))
def test_a_message_that_is_not_one_frame_is_refused(frame: Frame, more: int) -> None:
    message = pack(*frame)
    message = message[:more] if more < 0 else message + b"x" * more

    with pytest.raises(ValueError, match="frame"):
        unpack(message)


@given(st.lists(frames, max_size=8), st.data())
def test_any_split_gives_the_same_bytes_under_the_same_numbers(sent: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(pack(*frame) for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    unpacker = Unpacker()

    got = [
        frame
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for frame in unpacker.feed(stream[start:end])
    ]

    assert _bytes_by_number(got) == _bytes_by_number(sent)
    assert [frame for frame in got if frame.kind not in OUTPUT] == [frame for frame in sent if frame.kind not in OUTPUT]


@given(st.lists(frames, max_size=8), st.data())
def test_a_stream_that_breaks_gives_a_beginning_of_it(sent: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(pack(*frame) for frame in sent)
    end = data.draw(st.integers(0, len(stream)))

    got = _bytes_by_number(list(Unpacker().feed(stream[:end])))

    assert got == _bytes_by_number(sent)[: len(got)]


def _bytes_by_number(all_frames: list[Frame]) -> list[tuple[int, int, int]]:
    return [
        (frame.kind, frame.offset + at, byte)
        for frame in all_frames
        if frame.kind in OUTPUT
        for at, byte in enumerate(frame.data)
    ]
