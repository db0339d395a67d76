"""Many networks in one firmware: inputs go to an emulated board byte by byte, outputs and canaries come back."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jinja2
import numpy as np
from conftest import WARNINGS
from firmware import running, write_target_files

from edgewright.boards import Target
from edgewright.build import write_project
from edgewright.drivers import process
from edgewright.emit import SourceTree
from edgewright.manifest import Manifest
from edgewright.resources import resource_dir
from edgewright.samples import DataSet, pack, unpack

_MAIN = """
#include "ew_port.h"
#include <string.h>
typedef struct { int (*run)(const uint8_t *, uint8_t *); uint32_t in_bytes, out_bytes, in_shift, out_shift; } network;
{% for n in networks %}
int net{{ n.index }}_invoke(const uint8_t *input, uint8_t *output);
{% endfor %}
static const network networks[] = {
{% for n in networks %}
    {net{{ n.index }}_invoke, {{ n.in_bytes }}, {{ n.out_bytes }}, {{ n.in_shift }}, {{ n.out_shift }}},
{% endfor %}
};
static _Alignas(16) uint8_t input[{{ largest_in }} + 64], output[{{ largest_out }} + 64];

static uint8_t damaged(const uint8_t *from, uint32_t n)
{
    for (uint32_t i = 0; i < n; ++i) {
        if (from[i] != 0xa5u) {
            return 1;
        }
    }
    return 0;
}

static void read_all(uint8_t *to, size_t n)
{
    while (n > 0) {
        const size_t got = ew_port_read(to, n);
        to += got;
        n -= got;
    }
}

int main(void)
{
    ew_port_init();
    for (;;) {
        uint16_t index;
        read_all((uint8_t *)&index, 2);
        const network *n = &networks[index];
        uint8_t *x = input + 32 + n->in_shift, *y = output + 32 + n->out_shift;
        memset(input, 0xa5, sizeof input);
        memset(output, 0xa5, sizeof output);
        read_all(x, n->in_bytes);
        uint8_t status = (uint8_t)(n->run(x, y) != 0);
        status |= (uint8_t)(damaged(output, 32u + n->out_shift) << 1);
        status |= (uint8_t)(damaged(y + n->out_bytes, 16) << 2);
        status |= (uint8_t)(damaged(input, 32u + n->in_shift) << 3);
        ew_port_write(&status, 1);
        ew_port_write(y, n->out_bytes);
    }
}
"""

_WRAPPER = """
#include "model.h"
int net{{ index }}_invoke(const uint8_t *input, uint8_t *output);
int net{{ index }}_invoke(const uint8_t *input, uint8_t *output)
{
    return {{ m.c_prefix }}_run({% for p in m.inputs %}(const void *)(input + {{ p.offset_bytes }}), {% endfor %}
        {% for p in m.outputs %}(void *)(output + {{ p.offset_bytes }}){{ ", " if not loop.last }}{% endfor %})
        != EW_OK;
}
"""


def _shift(manifest: Manifest, side: str) -> int:
    """Unaligned buffers where every tensor is of bytes."""
    ports = manifest.inputs if side == "in" else manifest.outputs
    return {"in": 1, "out": 3}[side] if all(port.dtype.size_bytes == 1 for port in ports) else 0


def _compile(target: Target, tree: SourceTree, folder: Path, index: int, flags: Sequence[str]) -> list[str]:
    write_project(tree, folder)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)  # noqa: S701 - C
    (folder / "wrapper.c").write_text(environment.from_string(_WRAPPER).render(index=index, m=tree.manifest))
    process.run(
        [target.toolchain.compiler, *target.toolchain.cpu_flags, *target.build.flags, "-std=c11", *flags,
         "-fno-strict-aliasing", *WARNINGS, "-I.", "-Iew", "-c", "model.c", "arena.c", "weights.c", "wrapper.c"],
        cwd=folder, timeout_s=300,
    )  # fmt: skip
    return [str(folder / f"{name}.o") for name in ("model", "arena", "weights", "wrapper")]


def run_batch(
    target: Target, trees: Sequence[SourceTree], inputs: Sequence[Mapping[str, np.ndarray]], folder: Path,
    flags: Sequence[str] = ("-O2",),
) -> list[list[np.ndarray]]:  # fmt: skip
    """Return the outputs of every network. Shapes: inputs (n, *shape of one sample), likewise the outputs."""
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(_compile, target, tree, folder / f"net{i}", i, flags) for i, tree in enumerate(trees)]
        objects = [name for job in jobs for name in job.result()]
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701
    write_target_files(target, folder)
    networks = [
        {"index": i, "in_bytes": tree.manifest.input_bytes, "out_bytes": tree.manifest.output_bytes,
         "in_shift": _shift(tree.manifest, "in"), "out_shift": _shift(tree.manifest, "out")}
        for i, tree in enumerate(trees)
    ]  # fmt: skip
    text = environment.from_string(_MAIN).render(
        networks=networks, largest_in=max(n["in_bytes"] for n in networks),
        largest_out=max(n["out_bytes"] for n in networks),
    )  # fmt: skip
    (folder / "main.c").write_text(text)
    include = resource_dir("runtime_c") / "link"
    sources = ["main.c", *(file.out_name for file in target.file if file.compiled)]
    process.run(
        [target.toolchain.compiler, *target.toolchain.cpu_flags, *target.build.flags, "-std=c11", "-O2", "-I.",
         f"-I{include}", *sources, *objects, "-T", "linker.ld", *target.build.link_flags,
         *(f"-l{name}" for name in target.build.libraries), "-o", "a.elf"],
        cwd=folder, timeout_s=120,
    )  # fmt: skip
    results = []
    with running(target, folder / "a.elf", "none") as board:
        for index, (tree, samples) in enumerate(zip(trees, inputs, strict=True)):
            packed = pack(DataSet(samples, None), tree.manifest)
            rows = []
            for row in packed:
                board.socket.sendall(struct.pack("<H", index) + row.tobytes())
                (status,) = board.read(1)
                rows.append(np.frombuffer(board.read(tree.manifest.output_bytes), np.uint8))
                assert status == 0, f"network {index}: status {status} (1 refused, 2 before, 4 behind, 8 input)"
            results.append(list(unpack(np.stack(rows), tree.manifest).values()))
    return results
