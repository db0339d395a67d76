"""What travels on the link: COBS frames with a CRC-32, and the meaning of each message's bytes.

Bytes in, checked values out. Everything here distrusts the device: no reply makes it allocate more than
one frame's worth of memory, and a value that contradicts another is a `DeviceError` that names both.
No I/O: that is `link`. The protocol is written down in docs/PROTOCOL.md.
"""

from __future__ import annotations

import enum
import itertools
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from edgewright.boards.resets import ResetCause
from edgewright.errors import DeviceError

PROTOCOL_VERSION = 2

HEADER = struct.Struct("<BBH")  # type, flags, seq
FRAME_BYTES = HEADER.size + 4  # what a frame adds to its body before COBS: header and CRC-32
MIN_MAX_BODY = 128
MAX_MAX_BODY = 65536
MAX_RANK = 8  # EW_MAX_RANK in ew_base.h
LOAD_HEADER = struct.Struct("<I")  # offset; data follow
TICK_BYTES = 8
STEP_TICK_BYTES = 4
REPLY_FLAG = 0x80


class Type(enum.IntEnum):
    """First byte of a frame: requests below 0x80, the answer to one has `REPLY_FLAG` set."""

    HELLO = 0x01
    DESCRIBE = 0x02
    LOAD = 0x03
    RUN = 0x04
    READ = 0x05
    STATS = 0x06
    RESET = 0x07
    SET_BAUD = 0x08
    PROGRESS = 0xC0
    NAK = 0xFF


class Nak(enum.IntEnum):
    """Why the device refused a frame."""

    CRC = 1
    FRAME = 2
    UNKNOWN_TYPE = 3
    LENGTH = 4
    RANGE = 5
    RESERVED = 6
    NO_SESSION = 7
    BUSY = 8


class Region(enum.IntEnum):
    """What a READ reads from."""

    OUTPUTS = 0
    TICKS = 1
    STEP_TICKS = 2
    ARENA = 16  # the first of the model's; the next is one more


# code -> (name, bytes an element); the codes of ew_link_tensor.dtype in ew_link.h
DTYPES = {
    1: ("f32", 4),
    2: ("f16", 2),
    3: ("s8", 1),
    4: ("u8", 1),
    5: ("s16", 2),
    6: ("s32", 4),
    7: ("s64", 8),
    8: ("b1", 1),
    9: ("f64", 8),
    10: ("u16", 2),
    11: ("u32", 4),
    12: ("u64", 8),
    13: ("bf16", 2),
    14: ("f8e4m3fn", 1),
    15: ("f8e4m3fnuz", 1),
    16: ("f8e5m2", 1),
    17: ("f8e5m2fnuz", 1),
    18: ("f8e8m0", 1),
    19: ("f4e2m1", 1),
    20: ("s4", 1),
    21: ("u4", 1),
    22: ("s2", 1),
    23: ("u2", 1),
}


@dataclass(frozen=True)
class Frame:
    """One undamaged frame."""

    type: int
    seq: int
    body: bytes


class Damage(enum.Enum):
    """One damaged frame: its CRC is wrong, or it cannot be a frame at all."""

    CRC = "crc"
    FRAMING = "framing"


FAULT_MARK = b"edgewright fault: "
MAX_FAULT_BYTES = 512


@dataclass(frozen=True)
class Fault:
    """The report of a device that crashed: registers by name, in the order in which it named them."""

    registers: tuple[tuple[str, int], ...]

    @property
    def cause(self) -> ResetCause:
        """What the device's own handler takes it for."""
        return reset_cause(dict(self.registers).get("cause", ResetCause.FAULT))


def parse_fault(text: bytes) -> Fault | None:
    """Read the report of a crash (plain text between two delimiters); None for anything else, or a damaged one."""
    if not text.startswith(FAULT_MARK):
        return None
    pairs = [word.partition(b"=") for word in text[len(FAULT_MARK) :].split()]
    if not pairs or any((not key.isalnum() and b"_" not in key) or len(value) != 8 for key, _, value in pairs):
        return None
    try:
        return Fault(tuple((key.decode("ascii"), int(value, 16)) for key, _, value in pairs))
    except ValueError:
        return None


def cobs_encode(data: bytes) -> bytes:
    """Return `data` as COBS, without a zero byte and without a delimiter. Source: see ew_cobs.h."""
    out = bytearray()
    blocks = data.split(b"\0")
    for index, block in enumerate(blocks):
        start = 0
        while len(block) - start > 254 or (len(block) - start == 254 and index < len(blocks) - 1):
            out.append(255)
            out += block[start : start + 254]
            start += 254
        out.append(len(block) - start + 1)
        out += block[start:]
    return bytes(out)


def cobs_decode(data: bytes) -> bytes | None:
    """Return what was encoded, or None for bytes that no encoder makes."""
    if not data or 0 in data:
        return None
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        end = at + code
        if end > len(data):
            return None
        out += data[at + 1 : end]
        if code != 255 and end < len(data):
            out.append(0)
        at = end
    return bytes(out)


def encoded_max_bytes(max_body: int) -> int:
    """Return the largest size on the line of a frame with `max_body` bytes of body, delimiter included."""
    payload = max_body + FRAME_BYTES
    return payload + 1 + payload // 254 + 1


def encode_frame(type_: int, seq: int, body: bytes = b"") -> bytes:
    """Return the frame as it goes on the line, with its closing delimiter."""
    payload = HEADER.pack(type_, 0, seq) + body
    return cobs_encode(payload + struct.pack("<I", zlib.crc32(payload))) + b"\0"


def decode_frame(encoded: bytes) -> Frame | Damage:
    """Return the frame between two delimiters, or how it is damaged."""
    payload = cobs_decode(encoded)
    if payload is None or len(payload) < FRAME_BYTES:
        return Damage.FRAMING
    if zlib.crc32(payload[:-4]) != int.from_bytes(payload[-4:], "little"):
        return Damage.CRC
    type_, _flags, seq = HEADER.unpack_from(payload)
    return Frame(type_, seq, payload[HEADER.size : -4])


class FrameDecoder:
    """Cuts a byte stream into frames; holds at most one frame's bytes, whatever comes in."""

    def __init__(self, max_body: int = MAX_MAX_BODY) -> None:
        self._limit = encoded_max_bytes(max_body)
        self._partial = bytearray()
        self._overflow = False

    def feed(self, data: bytes) -> Iterator[Frame | Damage | Fault]:
        """Yield each frame, or report of a crash, that `data` completes."""
        *complete, tail = data.split(b"\0")
        for piece in complete:
            self._append(piece)
            if self._overflow:
                yield Damage.FRAMING
            elif self._partial:
                piece = bytes(self._partial)
                event = decode_frame(piece)
                yield (parse_fault(piece) or event) if isinstance(event, Damage) else event
            self._partial.clear()
            self._overflow = False
        self._append(tail)

    def take_unfinished_fault(self) -> Fault | None:
        """Return what came of a report that never ended, and forget it: the device crashed again while it wrote it."""
        text = bytes(self._partial[:MAX_FAULT_BYTES])
        fault = parse_fault(text[: text.rfind(b" ")]) or parse_fault(text)
        if fault is not None:
            self._partial.clear()
        return fault

    def _append(self, piece: bytes) -> None:
        if len(self._partial) + len(piece) > self._limit:
            self._overflow = True
            self._partial.clear()
        elif not self._overflow:
            self._partial += piece


@dataclass(frozen=True)
class DeviceInfo:
    """What a device says about itself in HELLO.

    Units: `capacity_samples` is how many samples one batch can hold; the `_bytes` of input and output are one
    packed sample. `session_before` is the session that the device was in when the HELLO came, 0 after a reset.
    `n_steps` is how many steps of an inference can be run one by one; 0: none.
    """

    protocol_version: int
    reset_cause: ResetCause
    session: int
    session_before: int
    max_body_bytes: int
    rx_buffer_bytes: int
    capacity_samples: int
    input_bytes: int
    output_bytes: int
    batch_memory_bytes: int
    timer_hz: int
    runs_since_boot: int
    n_inputs: int
    n_outputs: int
    n_steps: int
    build_id: bytes
    model_sha256: bytes
    name: str


_HELLO = struct.Struct("<HBBIIIIIIIIIIBBH16s32s")


def reset_cause(code: int) -> ResetCause:
    """Read the cause of a reset: UNKNOWN for a number that a later version gives."""
    return ResetCause(code) if code in set(ResetCause) else ResetCause.UNKNOWN


def hello_body(session: int) -> bytes:
    """Return the body of a HELLO request."""
    return struct.pack("<HHI", PROTOCOL_VERSION, 0, session)


def parse_hello(body: bytes) -> DeviceInfo:
    """Read a HELLO reply; DeviceError for another protocol version or values that contradict each other."""
    if len(body) >= 2 and (version := int.from_bytes(body[:2], "little")) != PROTOCOL_VERSION:
        raise DeviceError(
            f"the device speaks version {version} of the link protocol, this edgewright version "
            f"{PROTOCOL_VERSION}: generate and flash the firmware again"
        )
    if len(body) < _HELLO.size + 2:
        raise DeviceError(f"the HELLO reply has {len(body)} bytes, at least {_HELLO.size + 2} are needed")
    values = _HELLO.unpack_from(body)
    without_reserved = (values[0], reset_cause(values[1]), *values[3:], _text(body[_HELLO.size :]))
    info = DeviceInfo(*without_reserved)
    for what, value in (("input_bytes", info.input_bytes), ("output_bytes", info.output_bytes)):
        if value == 0 or value % 8 != 0:
            raise DeviceError(f"the device's HELLO says {what}={value}: not a multiple of 8 above 0")
    if not MIN_MAX_BODY <= info.max_body_bytes <= MAX_MAX_BODY:
        raise DeviceError(
            f"the device's HELLO says max_body={info.max_body_bytes}: not {MIN_MAX_BODY} to {MAX_MAX_BODY}"
        )
    needed = info.capacity_samples * (info.input_bytes + info.output_bytes + TICK_BYTES)
    if needed > info.batch_memory_bytes:
        raise DeviceError(
            f"the device's HELLO says that {info.capacity_samples} samples fit its batch memory of "
            f"{info.batch_memory_bytes} bytes: they need {needed}"
        )
    if info.timer_hz == 0:
        raise DeviceError("the device's HELLO says timer_hz=0: ticks would have no meaning")
    return info


@dataclass(frozen=True)
class TensorDescriptor:
    """One input or output of the device's model, as DESCRIBE gives it.

    Units: `offset_bytes` counts from the start of one packed sample. `name` may be cut to what fitted in a frame
    (`name_is_whole` tells); the manifest of the generated project has it in full.
    """

    kind: str  # "input" or "output"
    index: int  # among its kind
    name: str
    name_is_whole: bool
    dtype: str
    shape: tuple[int, ...]
    offset_bytes: int
    size_bytes: int


_DESCRIBE = struct.Struct("<HBBII")


def parse_describe(body: bytes, index: int, info: DeviceInfo) -> TensorDescriptor:
    """Read the reply to DESCRIBE `index`; DeviceError when it does not fit itself or the HELLO."""
    kind, number, sample_bytes = "input", index, info.input_bytes
    if index >= info.n_inputs:
        kind, number, sample_bytes = "output", index - info.n_inputs, info.output_bytes
    what = f"the device's description of {kind} {number}"
    if len(body) < _DESCRIBE.size + 2:
        raise DeviceError(f"{what} has {len(body)} bytes, at least {_DESCRIBE.size + 2} are needed")
    echoed, code, rank, offset, size = _DESCRIBE.unpack_from(body)
    if echoed != index:
        raise DeviceError(f"{what} says it is number {echoed}, asked was {index}")
    if code not in DTYPES:
        raise DeviceError(f"{what} has an unknown data type code {code}")
    dtype, item_bytes = DTYPES[code]
    if rank > MAX_RANK or len(body) < _DESCRIBE.size + 4 * rank + 2:
        raise DeviceError(f"{what} says rank {rank} in {len(body)} bytes; the highest rank is {MAX_RANK}")
    shape = struct.unpack_from(f"<{rank}I", body, _DESCRIBE.size)
    if math.prod(shape) * item_bytes != size:
        raise DeviceError(f"{what}: {dtype}{list(shape)} does not have {size} bytes")
    if offset % item_bytes != 0 or offset + size > sample_bytes:
        raise DeviceError(f"{what}: {size} bytes at {offset} do not fit a sample of {sample_bytes} bytes")
    text = body[_DESCRIBE.size + 4 * rank :]
    whole = int.from_bytes(text[:2], "little") == len(text) - 2
    return TensorDescriptor(kind, number, _text(text), whole, dtype, shape, offset, size)


def check_overlap(tensors: list[TensorDescriptor]) -> None:
    """Raise DeviceError where two tensors of one kind share bytes of a sample."""
    for kind in ("input", "output"):
        ordered = sorted((t for t in tensors if t.kind == kind), key=lambda t: t.offset_bytes)
        for a, b in itertools.pairwise(ordered):
            if a.offset_bytes + a.size_bytes > b.offset_bytes:
                raise DeviceError(f"the device describes {kind}s '{a.name}' and '{b.name}' that overlap in a sample")


@dataclass(frozen=True)
class DeviceStats:
    """What the device counted since the first HELLO of this session (`runs_since_boot`: since boot)."""

    stack_used_bytes: int
    stack_size_bytes: int
    frames_received: int
    frames_sent: int
    crc_errors: int
    framing_errors: int
    runs_since_boot: int


_STATS = struct.Struct("<IIIIIII")


def parse_stats(body: bytes) -> DeviceStats:
    """Read a STATS reply."""
    if len(body) != _STATS.size:
        raise DeviceError(f"the STATS reply has {len(body)} bytes, not {_STATS.size}")
    return DeviceStats(*_STATS.unpack(body))


def _text(field: bytes) -> str:
    """Read a text field (whole length u16, then what fitted), without what could steer a terminal."""
    text = field[2:].decode("utf-8", errors="replace")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
