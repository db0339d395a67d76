"""Runs generated C on an emulated board: many models a firmware, one inference at a time over the board's serial line.

What `native` is for this computer. The models of a firmware share its memory; each has its own arena.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from edgewright.boards import Target
from edgewright.drivers.emulator import Emulator, start_emulator
from edgewright.drivers.line import Line
from edgewright.drivers.process import run
from edgewright.emit import templates
from edgewright.errors import TimeLimitError, ToolError
from edgewright.ir import Array
from edgewright.manifest import Port
from edgewright.native import OWN_FILES, NativeModel, decode_output, write_model

FLAGS = ("-std=c11", "-O2", "-fno-strict-aliasing", "-ffp-contract=off")
_COMPILE_TIMEOUT_S = 600.0
_ANSWERED = 0x80
_LEAST_BYTES_PER_S = 10_000  # that an emulated line carries on a busy computer
_FAULTS = ("it refused its arguments", "it wrote before its outputs", "it wrote behind its outputs",
           "it wrote to its inputs", "it gave another result in the second inference")  # fmt: skip


def compile_for_board(
    models: Sequence[NativeModel], target: Target, folder: Path, flags: Sequence[str] = FLAGS, jobs: int = 1
) -> Path:
    """Compile models that were generated for `target` into one firmware in an empty folder; returns the ELF file.

    Raises: ToolError where the compiler is missing or fails, or the firmware does not fit.
    """
    for model in models:
        write_model(model, folder)
    (folder / "main.c").write_text(_driver(models), encoding="utf-8")
    cpu = [*target.toolchain.cpu_flags, *target.build.flags]
    command = [target.toolchain.compiler, *cpu, *flags, f"-I{folder}", f"-I{folder / 'ew'}"]

    def compiled(job: tuple[Path, Sequence[str]]) -> list[Path]:
        run([*command, "-c", *job[1]], cwd=job[0], timeout_s=_COMPILE_TIMEOUT_S)
        return [job[0] / Path(source).with_suffix(".o").name for source in job[1]]

    board = ["main.c", *(f"target/{file.out_name}" for file in target.file if file.compiled)]
    with ThreadPoolExecutor(jobs) as pool:
        parts = pool.map(compiled, [(folder, board), *((folder / model.prefix, OWN_FILES) for model in models)])
        objects = [name for part in parts for name in part]
    libraries = [f"-l{name}" for name in target.build.libraries]
    run([*command, *objects, "-T", "target/linker.ld", *target.build.link_flags, *libraries, "-o", "models.elf"],
        cwd=folder, timeout_s=_COMPILE_TIMEOUT_S)  # fmt: skip
    return folder / "models.elf"


def _driver(models: Sequence[NativeModel]) -> str:
    def shift(ports: Sequence[Port], by: int) -> int:
        return by if all(port.dtype.size_bytes == 1 for port in ports) else 0

    return templates().get_template("board_driver.c.j2").render(models=models, shift=shift)


class Board:
    """An emulated board with a firmware of `compile_for_board` in it."""

    def __init__(self, emulator: Emulator, line: Line, timeout_s: float) -> None:
        self._emulator = emulator
        self._line = line
        self._timeout_s = timeout_s
        self._received = b""

    def run_model(self, number: int, model: NativeModel, inputs: Sequence[Array]) -> list[Array]:
        """Run the inference of the firmware's model of this number, twice.

        Shapes: inputs and outputs have the model's own. Raises: as `native.run_model`; the board is then of no use.
        """
        packed = bytearray(model.input_bytes)
        for port, values in zip(model.inputs, inputs, strict=True):
            data = port.dtype.to_memory(values).tobytes()
            packed[port.offset_bytes : port.offset_bytes + len(data)] = data
        self._line.write(struct.pack("<H", number) + packed)
        bytes_moved = len(packed) + model.output_bytes
        deadline = time.monotonic() + self._timeout_s + bytes_moved / _LEAST_BYTES_PER_S
        status = self._read(1, deadline)[0]
        if not status & _ANSWERED:  # a report of a fault, which is text
            raise ToolError(f"the board stopped: {self._rest(time.monotonic() + 1.0)}")
        raw = self._read(model.output_bytes, deadline)
        found = [text for bit, text in enumerate(_FAULTS) if status >> bit & 1]
        if found:
            raise ToolError("; ".join(found))
        return [decode_output(port, raw[port.offset_bytes :][: port.size_bytes]) for port in model.outputs]

    def _read(self, n_bytes: int, deadline: float) -> bytes:
        while len(self._received) < n_bytes:
            piece = self._line.read(deadline)
            if not piece:
                self._emulator.check()
                raise TimeLimitError(f"the board did not answer within {self._timeout_s:g} s")
            self._received += piece
        taken, self._received = self._received[:n_bytes], self._received[n_bytes:]
        return taken

    def _rest(self, deadline: float) -> str:
        while b"\0" not in self._received and (piece := self._line.read(deadline)):
            self._received += piece
        return self._received.partition(b"\0")[0].decode("ascii", "replace").strip()


@contextmanager
def running(target: Target, elf: Path, timeout_s: float) -> Iterator[Board]:
    """Start the target's emulator with a firmware. Units: `timeout_s` seconds for each inference."""
    with start_emulator(target, elf, mode="none") as emulator:
        line = Line(emulator.url, 115200, timeout_s)
        try:
            yield Board(emulator, line, timeout_s)
        finally:
            line.close()
