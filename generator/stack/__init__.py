"""How deep the stack can get: the compiler's call graph and the machine code of a firmware, put together.

In: a build folder with its `*.ci` files and the linked program. Out: a `StackBound`, whose figures are None with a note
why wherever something is not known; no figure is ever estimated.

Each function's frame is the larger of what the compiler says and what its machine code does; each function calls whom
the compiler says and whom its machine code calls. Whatever a pointer may call is any function whose address is taken
anywhere in the program. docs/DESIGN.md says what is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgewright.boards import Target
from edgewright.drivers.process import run
from edgewright.errors import MemoryPlanError
from edgewright.stack.callgraph import read_call_graph
from edgewright.stack.deepest import Program, UnboundedError
from edgewright.stack.image import Image, read_image
from edgewright.stack.riscv import RiscvCode
from edgewright.stack.thumb import ThumbCode
from edgewright.stack.walk import Code

_TIMEOUT_S = 120.0
_ALIGNMENT_BYTES = 4  # an exception aligns the stack to 8 bytes; DDI 0403, B1.5.7
_FRAME_BYTES = 32
_FPU_FRAME_BYTES = 104  # space for s0-s15 and FPSCR is set aside even where they are saved lazily; VPR takes no more
_MACHINES = {21: "armv8.1-m.main"}  # left to itself, objdump 2.40 reads MVE as instructions of other processors
_ARMV6_M = (11, 12)


@dataclass(frozen=True)
class StackBound:
    """Units: bytes. `total_bytes`: of the firmware, interrupts and a fault's report included; `inference_bytes`: of
    one call of the model's run function, without interrupts. None where it cannot be told; `note` says why.

    `path`: the functions of the thread's deepest way.
    """

    total_bytes: int | None
    inference_bytes: int | None
    note: str | None
    path: tuple[str, ...] = ()


NOT_ANALYSED = StackBound(None, None, "the host's stack is the operating system's")


def bound_stack(build_folder: Path, elf: Path, target: Target, run_function: str, objdump: str | None) -> StackBound:
    """Analyse a firmware that was built. `run_function`: the model's; `objdump`: the toolchain's disassembler.

    Raises: ToolError where a file is damaged or the disassembler fails.
    """
    graphs = sorted(build_folder.rglob("*.ci"))
    if not graphs:
        return StackBound(None, None, "the compiler wrote no call graph; gcc 10 or later does")
    if objdump is None:
        return StackBound(None, None, "CMake found no objdump beside the compiler")
    image = read_image(elf)
    if not image.functions:
        return StackBound(None, None, "only Thumb and RISC-V code is analysed")
    machine = ["-m", _MACHINES[image.architecture]] if image.architecture in _MACHINES else []
    listing = run([objdump, "-d", "--no-show-raw-insn", *machine, elf], timeout_s=_TIMEOUT_S).stdout
    program = Program(image, read_call_graph(graphs), _code(listing.split("\n"), image))
    inference, inference_note = _inference(program, image, run_function)
    try:
        total, path = _total(program, image, target)
    except UnboundedError as error:
        return StackBound(None, inference, str(error))
    return StackBound(total, inference, inference_note, path)


def _code(lines: list[str], image: Image) -> Code:
    sizes = {at: (symbols[0].name, max(s.size_bytes for s in symbols)) for at, symbols in image.functions.items()}
    if image.machine == "thumb":
        return ThumbCode(lines, sizes, has_far_jumps=image.architecture in _ARMV6_M, stack_top=image.stack_top)
    return RiscvCode(lines, sizes, register_bytes=8 if image.machine == "rv64" else 4, stack_top=image.stack_top)


def _inference(program: Program, image: Image, run_function: str) -> tuple[int | None, str | None]:
    address = image.find(run_function)
    if address is None:
        return None, f"the program has no function '{run_function}'"
    try:
        return program.deepest(address), None
    except UnboundedError as error:
        return None, str(error)


def _total(program: Program, image: Image, target: Target) -> tuple[int, tuple[str, ...]]:
    """The thread, then as many handlers as can interrupt each other, then a fault in the last of them.

    Raises: UnboundedError.
    """
    entries = image.entries
    if entries is None:
        raise UnboundedError("the program has no vector table")
    frame = _exception_frame_bytes(target) if image.machine == "thumb" else 0  # a RISC-V's trap handler makes its own
    levels = target.interrupts.levels if target.interrupts is not None else 1
    handlers = [frame + program.deepest(handler) for handler in entries.handlers]
    interrupts = levels * max(handlers, default=0)
    total = program.deepest(entries.reset) + interrupts + frame + program.deepest(entries.fault)
    return total, program.path(entries.reset)


def _exception_frame_bytes(target: Target) -> int:
    has_fpu = not {"fpu", "mve"}.isdisjoint(target.features)
    return (_FPU_FRAME_BYTES if has_fpu else _FRAME_BYTES) + _ALIGNMENT_BYTES


def check_reserved(bound: StackBound, target: Target) -> None:
    """Refuse a firmware whose stack may overflow. Raises: MemoryPlanError with the figures and the deepest way."""
    if target.stack is None or bound.total_bytes is None or bound.total_bytes <= target.stack.bytes:
        return
    raise MemoryPlanError(
        f"the stack may need {bound.total_bytes:,} B, and '{target.name}' sets aside {target.stack.bytes:,} B, "
        f"{bound.total_bytes - target.stack.bytes:,} B too few. The deepest way is {' > '.join(bound.path)}. "
        "Raise [stack] bytes in target.toml."
    )
