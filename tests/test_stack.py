"""The bound of the stack: call graphs and machine code as text, small programs by the real compiler, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import DIGITS, DIGITS_TEST, need

import edgewright as ew
from edgewright.boards import load_target
from edgewright.drivers import process
from edgewright.errors import InternalError, MemoryPlanError, ToolError
from edgewright.stack import StackBound, bound_stack, check_reserved
from edgewright.stack.callgraph import CallGraph, parse_call_graph
from edgewright.stack.deepest import Program, UnboundedError
from edgewright.stack.image import Image, Symbol
from edgewright.stack.riscv import RiscvCode
from edgewright.stack.thumb import ThumbCode
from edgewright.stack.walk import UnknownDepthError

GRAPH = """graph: { title: "/p/a b.c"
node: { title: "/p/a b.c:helper.constprop.0" label: "helper.constprop.0\\n/p/a b.c:3:13\\n24 bytes (static)" }
node: { title: "open" label: "open\\n/p/a b.c:9:5\\n8 bytes (static)\\n1 dynamic objects" }
node: { title: "memcpy" label: "__builtin_memcpy\\n<built-in>" shape : ellipse }
edge: { sourcename: "open" targetname: "/p/a b.c:helper.constprop.0" label: "/p/a b.c:10:3" }
edge: { sourcename: "open" targetname: "memcpy" }
node: { title: "vla" label: "vla\\n/p/a b.c:20:5\\n16 bytes (dynamic)" }
}
"""


def test_a_call_graph_is_read() -> None:
    functions = {function.name: function for function in parse_call_graph(GRAPH, "a.c.ci")}
    assert set(functions) == {"helper.constprop.0", "open", "vla"}
    helper = functions["helper.constprop.0"]
    assert (helper.unit, helper.is_local, helper.frame_bytes, helper.is_fixed) == ("a b.c", True, 24, True)
    assert not functions["open"].is_local
    assert functions["open"].callees == {"/p/a b.c:helper.constprop.0", "memcpy"}
    assert not functions["vla"].is_fixed


def test_namesakes_stay_apart() -> None:
    other = GRAPH.replace("/p/a b.c", "/p/c.c").replace("24 bytes", "96 bytes").replace('"open"', '"open2"')
    graph = CallGraph([*parse_call_graph(GRAPH, "a"), *parse_call_graph(other, "c")])
    assert [f.frame_bytes for f in graph.find("helper.constprop.0", "a b.c")] == [24]
    assert [f.frame_bytes for f in graph.find("helper.constprop.0", "c.c")] == [96]
    assert graph.find("memcpy", None) == ()


@pytest.mark.parametrize(("old", "new", "message"), [
    ('graph: { title: "/p/a b.c"', "", "not a whole call graph"),
    ("24 bytes (static)", "some bytes", "no frame size"),
    ("24 bytes (static)", "9999999999 bytes (static)", "no frame size"),
    ('sourcename: "open" targetname: "memcpy"', 'sourcename: "nobody" targetname: "memcpy"', "an edge from 'nobody'"),
    ("\n}\n", "\n", "not a whole call graph"),
    ("node: { title: \"vla\"", "node: { title: \"open\"", "'open' is there twice"),
    ("edge: {", "edge {", "not part of a call graph"),
    ("\n}\n", "\nsystem(\"x\")\n}\n", "not part of a call graph"),
])  # fmt: skip
def test_a_damaged_call_graph_is_a_tool_error(old: str, new: str, message: str) -> None:
    assert old in GRAPH
    with pytest.raises(ToolError, match=message) as caught:
        parse_call_graph(GRAPH.replace(old, new, 1), "a.c.ci")
    assert "a.c.ci" in str(caught.value)


def test_a_hostile_call_graph_ends_soon() -> None:
    """Long lines and many quotes: no pattern takes more than a moment, whatever the verdict."""
    for text in ('node: { title: "' * 20_000, "node: { title: " + '" label: "' * 20_000, "x" * 5_000_000):
        with pytest.raises(ToolError):
            parse_call_graph(f'graph: {{ title: "a.c"\n{text}\n}}\n', "a.c.ci")


def listing(text: str, start: int = 0x100) -> list[str]:
    """A disassembly, an instruction each 4 bytes; `@name` stands for the address of the line labelled `name:`."""
    rows, labels = [], {}
    for line in text.strip().splitlines():
        label, colon, rest = line.strip().rpartition(":")
        if colon:
            labels[label] = start + 4 * len(rows)
        rows.append(rest.strip() if colon else line.strip())
    for name, address in labels.items():
        rows = [row.replace(f"@{name}", f"{address:x} <{name}>") for row in rows]
    return [f"     {start + 4 * i:x}:\t" + row.replace(" ", "\t", 1) for i, row in enumerate(rows)]


def flow_of(text: str, size: int = 0) -> int:
    lines = listing(text)
    return ThumbCode(lines, {0x100: ("f", size or 4 * len(lines))}, stack_top=0x2000_1000).flow(0x100).depth


def test_a_far_jump_of_an_armv6_m_is_no_call() -> None:
    """BL within a function: the code behind it belongs to another way, and the function returns at its target."""
    text = "push {r4, lr}\nbl @out\nback: sub sp, #8\nadd sp, #8\nout: cmp r0, #0\nbeq.n @back\npop {r4, pc}"
    lines = listing(text)
    functions = {0x100: ("f", 4 * len(lines))}
    assert ThumbCode(lines, functions, has_far_jumps=True).flow(0x100).depth == 16
    with pytest.raises(UnknownDepthError):
        ThumbCode(lines, functions).flow(0x100)


@pytest.mark.parametrize(("text", "depth"), [
    ("bx lr", 0),
    ("push {r4, r5, lr}\nsub sp, #20\nadd sp, #20\npop {r4, r5, pc}", 32),
    ("stmdb sp!, {r4, r5, lr}\nvpush {d8-d15}\nvpush {s16-s18}\nadd sp, #76\nldmia.w sp!, {r4, r5, pc}", 88),
    ("str.w lr, [sp, #-4]!\nldr.w pc, [sp], #4", 4),
    ("strd ip, lr, [sp, #-16]!\nldr r0, [sp, #4]\nadd sp, #16\nbx lr", 16),
    ("ldr r4, [pc, #8] ; (110 <f+0x10>)\nadd sp, r4\nsub sp, #8\nudf #0\n.word 0xffffff00", 264),
    ("cmp r0, #0\nit ne\npopne {pc}\nudf #0", None),  # nothing was pushed
    ("push {r4, lr}\ncmp r0, #0\nit ne\npopne {r4, pc}\nsub sp, #8\nadd sp, #8\npop {r4, pc}", 16),
    ("again: push {r4}\nb.n @again", None),
    ("sub sp, #8\nagain: subs r0, #1\nbne.n @again\nadd sp, #8\nbx lr", 8),
    ("mov sp, r7\nbx lr", None),
    ("msr MSP, r0\nbx lr", None),
    ("push {r4}\nldr r2, [pc, #8] ; (110 <f+0x10>)\nmsr MSP, r2\nudf #0\n.word 0x20001000", 4),  # the stack's top
    ("ldr r2, [pc, #8] ; (10c <f+0xc>)\nmsr MSP, r2\nudf #0\n.word 0x20001004", None),
    ("push {r4, lr}\nbx lr", None),  # returns with the stack deeper
    ("push {r0}\ntbb [pc, r0]\n.short 0x0201\nsub sp, #64\nadd sp, #68\nbx lr\nadd sp, #4\nbx lr", 68),
    ("push {r0}\nbl @part\nadd sp, #8\nbx lr\npart: sub sp, #4\nbx lr", 8),
    ("wls lr, r0, @out\nagain: nop\nle lr, @again\nout: bx lr", 0),
    ("push {r0}\ncmp sp, r6\nmov r1, sp\nstr sp, [r2]\nldmia sp, {r0, r1}\nadd sp, #4\nbx lr", 4),
    (".short 0xbf70\nbx lr", 0),
    (".short 0x1234\nbx lr", None),
    ("bxns r0", None),
])  # fmt: skip
def test_machine_code_tells_its_depth(text: str, depth: int | None) -> None:
    """Bytes, or None where it must not say."""
    if depth is None:
        with pytest.raises(UnknownDepthError):
            flow_of(text)
    else:
        assert flow_of(text) == depth


@pytest.mark.parametrize(("text", "depth"), [
    ("ret", 0),
    ("add sp,sp,-32\nsw ra,28(sp)\nlw ra,28(sp)\nadd sp,sp,32\nret", 32),
    ("lui t0,0x2\nadd t0,t0,-192 # 1f40\nsub sp,sp,t0\nnop\nadd sp,sp,t0\nret", 8000),
    ("add sp,sp,-16\nbeqz a0,@out\nnop\nout: add sp,sp,16\nret", 16),
    ("add sp,sp,-16\nret", None),  # returns with the stack deeper
    ("add sp,sp,16\nret", None),
    ("again: add sp,sp,-16\nj @again", None),
    ("mv sp,s0\nret", None),
    ("csrrw sp,mscratch,sp\nret", None),
    ("add sp,sp,-32\nauipc sp,0x1002\nadd sp,sp,-260 # 1002000\nadd sp,sp,-48\nunimp", 48),  # to the stack's top
    ("auipc sp,0x1002\nmv sp,sp\nadd sp,sp,-48\nunimp", None),  # elsewhere
    ("lui sp,0x1002\nmv sp,sp\nadd sp,sp,-48\nunimp", 48),
    ("lui sp,0x1002\nadd sp,sp,16\nunimp", None),
    ("lui sp,0x1002\nret", None),
    ("add sp,gp,-2048 # 1002000\nadd sp,sp,-48\nunimp", 48),
    ("add sp,gp,-2044 # 1002004\nunimp", None),
    ("and sp,sp,-16\nadd sp,sp,-16\nunimp", 31),
    ("and sp,sp,-24\nunimp", None),
    ("add sp,sp,-16\njr a5\nadd sp,sp,-64\nadd sp,sp,80\nret", 80),  # a table
    ("jal t1,@out\nout: ret", None),
    ("jal 500\nret", None),  # what is no function
    (".word 0x1234", None),
])  # fmt: skip
def test_riscv_code_tells_its_depth(text: str, depth: int | None) -> None:
    """Bytes, or None where it must not say."""
    lines = listing(text)
    code = RiscvCode(lines, {0x100: ("f", 4 * len(lines))}, 4, stack_top=0x1002000)
    if depth is None:
        with pytest.raises(UnknownDepthError):
            code.flow(0x100)
    else:
        assert code.flow(0x100).depth == depth


@pytest.mark.parametrize(("register_bytes", "most", "deep"), [(4, 64, 32), (8, 112, 48)])
def test_riscv_registers_saved_by_libgcc(register_bytes: int, most: int, deep: int) -> None:
    """Five registers with ra: 32 or 48 bytes; on the way libgcc may take what all 13 of them need."""
    lines = listing("jal t0,200 <__riscv_save_4>\njal 300 <g>\nj 280 <__riscv_restore_4>")
    sizes = {0x100: ("f", 12), 0x200: ("__riscv_save_4", 8), 0x280: ("__riscv_restore_4", 8), 0x300: ("g", 4)}
    flow = RiscvCode(lines, sizes, register_bytes).flow(0x100)
    assert (flow.depth, flow.calls, flow.returns) == (most, {0x300: deep}, {0})


def test_riscv_calls() -> None:
    """By address, by AUIPC and JALR, by a register; a jump by a register without a table is a call at the end."""
    sizes = {0x100: ("f", 24), 0x200: ("g", 4)}
    text = "add sp,sp,-32\njal 200 <g>\nauipc ra,0x1\njalr -20(ra) # 200 <g>\nadd sp,sp,32\njr a5"
    flow = RiscvCode(listing(text), sizes, 4).flow(0x100)
    assert (flow.calls, flow.register_calls, flow.depth) == ({0x200: 32}, 0, 32)
    text = "add sp,sp,-32\njalr a5\nadd sp,sp,32\nauipc t1,0x0\njr -20(t1) # 200 <g>"
    flow = RiscvCode(listing(text), sizes, 4).flow(0x100)
    assert (flow.jumps, flow.register_calls) == ({0x200: 0}, 32)


def program(text: str, functions: dict[str, int], graph: str = "", taken: frozenset[int] | None = None) -> Program:
    """A program by listing; `functions`: the instructions of each, in order."""
    lines = listing(text)
    at, symbols, sizes = 0x100, {}, {}
    for name, count in functions.items():
        symbols[at] = (Symbol(name, None, 4 * count),)
        sizes[at] = (name, 4 * count)
        at += 4 * count
    compiled = parse_call_graph(f'graph: {{ title: "a.c"\n{graph}}}\n', "a.c.ci") if graph else []
    return Program(Image(symbols, None, taken), CallGraph(compiled), ThumbCode(lines, sizes))


CHAIN = "push {r4, lr}\nbl @g\npop {r4, pc}\ng: push {r4, r5, r6, lr}\npop {r4, r5, r6, pc}"


def test_depths_add_up() -> None:
    found = program(CHAIN, {"f": 3, "g": 2})
    assert found.deepest(0x100) == 24
    assert found.path(0x100) == ("f", "g")
    assert found.deepest(0x10C) == 16


def test_the_larger_of_compiler_and_machine_code_counts() -> None:
    node = 'node: {{ title: "{0}" label: "{0}\\na.c:1:1\\n{1} bytes (static)" }}\n'
    found = program(CHAIN, {"f": 3, "g": 2}, node.format("f", 100) + node.format("g", 8))
    assert found.deepest(0x100) == 100
    found = program(CHAIN, {"f": 3, "g": 2}, node.format("f", 8) + node.format("g", 40))
    assert found.deepest(0x100) == 48


def test_recursion_has_no_bound() -> None:
    found = program(CHAIN.replace("pop {r4, r5, r6, pc}", "bl 100 <f>"), {"f": 3, "g": 2})
    with pytest.raises(UnboundedError, match="recursion: f > g > f"):
        found.deepest(0x100)


POINTER = "push {r4, lr}\nblx r3\npop {r4, pc}\npush {r4, r5, r6, lr}\npop {r4, r5, r6, pc}"
POINTER_GRAPH = (
    'node: { title: "f" label: "f\\na.c:1:1\\n8 bytes (static)" }\n'
    'node: { title: "__indirect_call" label: "Indirect Call Placeholder" shape : ellipse }\n'
    'edge: { sourcename: "f" targetname: "__indirect_call" label: "a.c:2:2" }\n'
)


def test_a_pointer_may_call_whatever_has_its_address_taken() -> None:
    functions = {"f": 3, "g": 2}
    assert program(POINTER, functions, POINTER_GRAPH, frozenset({0x10C})).deepest(0x100) == 24
    assert program(POINTER, functions, POINTER_GRAPH, frozenset()).deepest(0x100) == 8
    with pytest.raises(UnboundedError, match=r"'f' calls by a pointer, and .* without --emit-relocs"):
        program(POINTER, functions, POINTER_GRAPH).deepest(0x100)
    with pytest.raises(UnboundedError, match="recursion: f > f"):
        program(POINTER, functions, POINTER_GRAPH, frozenset({0x100})).deepest(0x100)
    with pytest.raises(UnboundedError, match="'f', which the compiler's call graph does not have, calls by a pointer"):
        program(POINTER, functions, "", frozenset({0x10C})).deepest(0x100)


def test_what_a_library_does_must_be_known() -> None:
    found = program(CHAIN.replace("pop {r4, r5, r6, pc}", "mov sp, r7"), {"f": 3, "g": 2})
    with pytest.raises(UnboundedError, match="'g' moves the stack pointer by 'mov sp, r7'"):
        found.deepest(0x100)


SHARED = """
__attribute__((noinline)) static int same(int n) { volatile int a[%d]; a[0] = n; return a[0]; }
int %s(int n) { return same(n) + 1; }
"""
MAIN = """
#include <stdint.h>
extern uint32_t stack_top[];
int one(int), two(int);
volatile int sink;
__attribute__((noinline)) int net_run(int n) { %s }
__attribute__((noinline)) void fault(void) { for (;;) {} }
void reset(void) { sink = net_run(3); for (;;) {} }
__attribute__((section(".vectors"), used)) void *const vectors[] = {stack_top, reset, fault, fault};
"""
SCRIPT = """
SECTIONS { .vectors 0 : { KEEP(*(.vectors)) } .text : { *(.text*) *(.rodata*) }
 .bss 0x20000000 : { *(.bss*) stack_top = .; } }
"""


def analysed(folder: Path, body: str, before: str = "", link: str = "-Wl,--emit-relocs") -> StackBound:
    need("arm-none-eabi-gcc")
    sources = {"one/same.c": SHARED % (10, "one"), "two/same2.c": SHARED % (50, "two"), "main.c": before + MAIN % body}
    for name, text in sources.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        process.run(
            ["arm-none-eabi-gcc", "-O2", "-mcpu=cortex-m3", "-mthumb", "-fcallgraph-info=su", "-c", folder / name,
             "-o", folder / f"{Path(name).name}.obj"], timeout_s=30,
        )  # fmt: skip
    (folder / "x.ld").write_text(SCRIPT)
    elf = folder / "x.elf"
    objects = sorted(folder.glob("*.obj"))
    process.run(
        ["arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb", "-nostdlib", "-T", folder / "x.ld", "-Wl,-e,reset", link,
         *objects, "-lgcc", "-o", elf], timeout_s=30,
    )  # fmt: skip
    return bound_stack(folder, elf, load_target("mps2-an385"), "net_run", "arm-none-eabi-objdump")


def test_small_programs(tmp_path: Path) -> None:
    """The deeper of two namesakes counts, once; a call by pointer costs what it may reach."""
    plain = analysed(tmp_path, "return one(n) * two(n);")
    assert plain.note is None
    assert plain.inference_bytes is not None
    assert 200 <= plain.inference_bytes < 240 + 40
    assert plain.total_bytes is not None
    assert plain.total_bytes >= plain.inference_bytes + 36
    assert plain.path == ("reset", "net_run", "two", "same")
    pointer = "static int (*const table[])(int) = {one, two};\n"
    by_pointer = analysed(tmp_path, "return table[sink & 1](n);", "int one(int), two(int);\n" + pointer)
    assert by_pointer.note is None
    assert by_pointer.inference_bytes is not None
    assert 200 <= by_pointer.inference_bytes < 240 + 40


@pytest.mark.parametrize(("body", "before", "link", "note"), [
    ("return n > 0 ? net_run(n - 1) * sink + net_run(n - 2) : 1;", "", "", "recursion: net_run"),
    ("volatile int a[n]; a[0] = n; return a[0];", "", "", "the frame of 'net_run' grows at run time"),
    ("return ((int (*)(int))(uintptr_t)sink)(n) + 1;", "", "-Wl,--no-undefined", "'net_run' calls by a pointer"),
    ('__asm volatile("mov sp, r7"); return n;', "", "", "'net_run' moves the stack pointer"),
])  # fmt: skip
def test_programs_without_a_bound(tmp_path: Path, body: str, before: str, link: str, note: str) -> None:
    found = analysed(tmp_path, body, before, link or "-Wl,--emit-relocs")
    assert (found.total_bytes, found.inference_bytes) == (None, None)
    assert found.note is not None
    assert found.note.startswith(note)


def test_without_a_call_graph_there_is_no_bound(tmp_path: Path) -> None:
    found = bound_stack(tmp_path, tmp_path / "x.elf", load_target("mps2-an386"), "f_run", "objdump")
    assert found == StackBound(None, None, "the compiler wrote no call graph; gcc 10 or later does")


def test_a_stack_that_is_too_small_is_refused() -> None:
    target = load_target("mps2-an386")
    check_reserved(StackBound(8192, 100, None), target)
    with pytest.raises(MemoryPlanError, match=r"8,200 B, and 'mps2-an386' sets aside 8,192 B, 8 B too few.*a > b"):
        check_reserved(StackBound(8200, 100, None, ("a", "b")), target)


@pytest.mark.slow
def test_a_wrong_bound_ends_the_run(emulated_m4: str) -> None:
    """What was painted is held against the bound, and the host has neither."""
    built = ew.generate(ew.load(DIGITS), emulated_m4).build()
    x = np.load(DIGITS_TEST)["x"][:1]
    with built.flash() as board:
        used = board.predict(x).run.stack_used_bytes
    bound = built.firmware.stack.total_bytes
    assert used is not None
    assert bound is not None
    assert used <= bound
    small = replace(built.firmware, stack=replace(built.firmware.stack, total_bytes=64))
    with replace(built, firmware=small).flash() as board, pytest.raises(InternalError, match="cannot exceed 64 B"):
        board.predict(x)
