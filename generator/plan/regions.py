"""Which memory region each piece of the arena and each constant lies in: the fastest, for as many touches as it holds.

Everything lies in the fastest region where it fits. Else pieces come in the order of their touches per byte, and each
takes the fastest region that still has room while it is live; every region's pieces are packed on their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edgewright.errors import MemoryPlanError
from edgewright.plan.lifetimes import Lifetime, lower_bound_bytes
from edgewright.plan.pack import Packing, align_up, pack
from edgewright.plan.touches import Constant

_TIME_LIMIT_S = 0.5  # of packing one region once, where several are tried


_Contents = tuple[str, Sequence[Lifetime], Mapping[str, int], int]  # region, pieces, offsets there, bytes


class NoRoomError(MemoryPlanError):
    """What the network needs at one time does not fit the regions together."""


class SharedPlaceError(MemoryPlanError):
    """Tensors that share bytes are asked for in different regions."""


@dataclass(frozen=True)
class Region:
    """Memory that the planner may use. `room`: bytes for the network, None: any number. `wait`: cycles an access."""

    name: str
    room: int | None = None
    wait: int = 0

    def holds(self, size_bytes: int) -> bool:
        """Whether so many bytes fit."""
        return self.room is None or size_bytes <= self.room


@dataclass(frozen=True)
class Placement:
    """The regions of a board, and what is wished for. `ram` is ordered by speed; `flash` begins with the code's.

    `place`: names of tensors, constants or operators, each with the region asked for. `stage`: the RAM region that
    weights are copied to for their layer's time; empty for none. `limit`: bytes that all arenas may take together.
    """

    ram: tuple[Region, ...] = (Region("RAM"),)
    flash: tuple[Region, ...] = (Region("FLASH"),)
    place: Mapping[str, str] = field(default_factory=dict)
    stage: str = ""
    limit: int | None = None


@dataclass(frozen=True)
class Arena:
    """What a plan uses of one region. Units: bytes; `start` counts from the first arena, as `Plan.offsets` do."""

    region: str
    start: int
    bytes: int
    lower_bound_bytes: int

    @property
    def end(self) -> int:
        """Behind the last byte."""
        return self.start + self.bytes


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the pieces of the arena lie: their regions, and offsets in all arenas end to end."""

    regions: Mapping[str, str]
    offsets: Mapping[str, int]
    arenas: tuple[Arena, ...]


class _Room:
    """A region's pieces while they are dealt out."""

    def __init__(self, region: Region, steps: int) -> None:
        self.region = region
        self.pieces: list[Lifetime] = []
        self.live = np.zeros(steps, np.int64)  # from step -1 on

    def add(self, piece: Lifetime) -> None:
        self.pieces.append(piece)
        self.live[piece.first + 1 : piece.last + 2] += align_up(piece.size_bytes)

    def remove(self, piece: Lifetime) -> None:
        self.pieces.remove(piece)
        self.live[piece.first + 1 : piece.last + 2] -= align_up(piece.size_bytes)

    def takes(self, piece: Lifetime) -> bool:
        return self.region.holds(int(self.live[piece.first + 1 : piece.last + 2].max()) + align_up(piece.size_bytes))


def lay_out(
    pieces: Sequence[Lifetime], touches: Mapping[str, int], pins: Mapping[str, str], regions: Sequence[Region],
    whole: Packing,
) -> Layout:  # fmt: skip
    """Return regions and offsets of all pieces.

    `touches`: bytes read and written in an inference, by root. `pins`: roots whose region is given. `whole`: all
    pieces packed together. Where there is one region, it takes everything, whether it fits or not.
    Raises: NoRoomError.
    """
    fastest = regions[0]
    if not pins and (len(regions) == 1 or fastest.holds(whole.arena_bytes)):
        bound = lower_bound_bytes(pieces)
        arena = Arena(fastest.name, 0, whole.arena_bytes, bound)
        return Layout({piece.root: fastest.name for piece in pieces}, dict(whole.offsets), (arena,))
    return _packed(_dealt(pieces, touches, pins, regions), touches, pins)


def add_pieces(
    layout: Layout, old: Sequence[Lifetime], new: Sequence[Lifetime], region: Region, order: Sequence[Region]
) -> Layout | None:
    """Return the layout with more pieces in `region`, packed anew; None where they do not fit."""
    starts = {arena.region: arena for arena in layout.arenas}
    result: list[_Contents] = []
    for name in (each.name for each in order):
        pieces = [piece for piece in old if layout.regions[piece.root] == name]
        if name == region.name:
            pieces += new
            packed = pack(pieces, time_limit_s=_TIME_LIMIT_S)
            size = align_up(packed.arena_bytes)
            if not region.holds(size):
                return None
            result.append((name, pieces, packed.offsets, size))
        elif pieces:
            inside = {piece.root: layout.offsets[piece.root] - starts[name].start for piece in pieces}
            result.append((name, pieces, inside, starts[name].bytes))
    return _end_to_end(result)


def _dealt(
    pieces: Sequence[Lifetime], touches: Mapping[str, int], pins: Mapping[str, str], regions: Sequence[Region]
) -> list[_Room]:
    """Pieces by their touches per byte, each in the fastest region whose live bytes leave room for it."""
    steps = max((piece.last for piece in pieces), default=0) + 2
    rooms = {region.name: _Room(region, steps) for region in regions}
    for piece in pieces:
        if piece.root in pins:
            rooms[pins[piece.root]].add(piece)
    for piece in sorted(pieces, key=lambda piece: _rank(piece, touches)):
        if piece.root not in pins:
            room = next((room for room in rooms.values() if room.takes(piece)), None)
            if room is None:
                raise _no_room(pieces, regions, piece)
            room.add(piece)
    return list(rooms.values())


def _rank(piece: Lifetime, touches: Mapping[str, int]) -> tuple[float, int, str]:
    """What is touched most often a byte comes first."""
    return -touches.get(piece.root, 0) / max(piece.size_bytes, 1), piece.first, piece.root


def _packed(rooms: Sequence[_Room], touches: Mapping[str, int], pins: Mapping[str, str]) -> Layout:
    """Pack each region; what sticks out of it goes to the next."""
    result: list[_Contents] = []
    regions = [room.region for room in rooms]
    everything = [piece for room in rooms for piece in room.pieces]
    for number, room in enumerate(rooms):
        while True:
            packed = pack(room.pieces, time_limit_s=_TIME_LIMIT_S)
            if room.region.holds(align_up(packed.arena_bytes)):
                break
            out = [piece for piece in room.pieces
                   if not room.region.holds(align_up(packed.offsets[piece.root] + piece.size_bytes))]  # fmt: skip
            free = [piece for piece in out if piece.root not in pins] or [
                piece for piece in room.pieces if piece.root not in pins
            ]
            if not free or number + 1 == len(rooms):
                raise _no_room(everything, regions, out[0])
            least = max(free, key=lambda piece: _rank(piece, touches))
            room.remove(least)
            later = rooms[number + 1 :]
            next((other for other in later if other.takes(least)), later[0]).add(least)
        if room.pieces:
            result.append((room.region.name, room.pieces, packed.offsets, align_up(packed.arena_bytes)))
    return _end_to_end(result or [(regions[0].name, (), {}, 0)])


def _end_to_end(arenas: Sequence[_Contents]) -> Layout:
    """Arenas behind each other."""
    regions, offsets, result, start = {}, {}, list[Arena](), 0
    for name, pieces, inside, size in arenas:
        for piece in pieces:
            regions[piece.root] = name
            offsets[piece.root] = start + inside[piece.root]
        result.append(Arena(name, start, size, lower_bound_bytes(pieces)))
        start += size
    return Layout(regions, offsets, tuple(result))


def _no_room(pieces: Sequence[Lifetime], regions: Sequence[Region], piece: Lifetime) -> NoRoomError:
    rooms = ", ".join(f"'{region.name}' {region.room or 0:,} B" for region in regions)
    return NoRoomError(
        f"no RAM is left for '{piece.root}' ({piece.size_bytes:,} B): tensors that are alive at one time take "
        f"{lower_bound_bytes(pieces):,} B, and there is room in {rooms}. "
        "Try --optimize ram, a smaller input or a larger board."
    )


def place_constants(
    constants: Sequence[Constant], pins: Mapping[str, str], regions: Sequence[Region]
) -> tuple[Constant, ...]:
    """Return the constants with their regions: the first one, or by touches per byte where it does not hold them all.

    Where there is one region, it takes everything, whether it fits or not. `pins`: regions by key.
    Raises: MemoryPlanError.
    """
    free = [constant for constant in constants if constant.key not in pins]
    chosen = dict(pins)
    left = {region.name: region.room for region in regions}
    for constant in constants:
        if constant.key in pins:
            stored = pins[constant.key] if pins[constant.key] in left else regions[0].name  # RAM is filled from there
            size = left[stored]
            left[stored] = None if size is None else size - align_up(constant.size_bytes)
    first = left[regions[0].name]
    if len(regions) == 1 or first is None or sum(align_up(c.size_bytes) for c in free) <= first:
        chosen.update({constant.key: regions[0].name for constant in free})
        free = []
    for constant in sorted(free, key=lambda c: (-c.touched_bytes / max(c.size_bytes, 1), c.key)):
        size = align_up(constant.size_bytes)
        for region in regions:
            room = left[region.name]
            if room is None or size <= room:
                left[region.name] = None if room is None else room - size
                chosen[constant.key] = region.name
                break
        else:
            rooms = ", ".join(f"'{region.name}' {region.room or 0:,} B" for region in regions)
            total = sum(c.size_bytes for c in constants)
            raise MemoryPlanError(
                f"no flash is left for constants of '{constant.origin}' ({constant.size_bytes:,} B): all take "
                f"{total:,} B, and beside the code there is room in {rooms}. Try a smaller model or a larger board."
            )
    return tuple(replace(constant, region=chosen[constant.key]) for constant in constants)
