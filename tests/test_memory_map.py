"""Memory maps say what the plan says, whatever the model's names are; and the command line that shows them."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import DIGITS, REPOSITORY
from integer_networks import integer_network
from networks import SEED, imported, make_model, random_network, value
from onnx import helper

from edgewright import cli
from edgewright.kernels import Core
from edgewright.passes import run_passes
from edgewright.pipeline import load
from edgewright.plan import Plan, PlanOptions, make_plan
from edgewright.plan.bands import banded
from edgewright.plan.liveness import rectangles
from edgewright.plan.tradeoff import ram_curve
from edgewright.report.memory_map import (
    KINDS,
    MapPiece,
    MapRegion,
    MapRow,
    MapStep,
    MemoryMap,
    memory_map,
    short_names,
)
from edgewright.report.memory_svg import svg_map
from edgewright.report.memory_text import WIDTH, text_map

SVG = "{http://www.w3.org/2000/svg}"
SHAPES = REPOSITORY / "examples" / "shapes" / "shapes.onnx"
M4 = Core(frozenset({"fpu", "dsp"}))

Box = tuple[int, int, int, int]  # first byte, the byte behind, first step, last step


def planned(seed: int) -> Plan:
    """A plan of a random network; every third in bands, every second with its ports in the arena."""
    graph = run_passes(imported(integer_network(seed) if seed % 2 else random_network(seed)).graph)
    return make_plan(graph, M4, PlanOptions("ram" if seed % 3 == 0 else "speed", arena_ports=seed % 4 < 2))


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own


def boxes(root: ET.Element) -> dict[str, list[tuple[str, Box]]]:
    """Of each region: class and extent of what is drawn, having checked that it is drawn to scale."""
    result = {}
    for group in root.iter(f"{SVG}g"):
        frame = next(rect for rect in group.iter(f"{SVG}rect") if rect.get("class") == "frame")
        left, top, width, height = (float(frame.get(key, "")) for key in ("x", "y", "width", "height"))
        found = []
        for rect in group.iter(f"{SVG}rect"):
            if rect.get("data-bytes") is None:
                continue
            start, end = map(int, rect.get("data-bytes", "").split())
            first, last = map(int, rect.get("data-steps", "").split())
            x, y, across, down = (float(rect.get(key, "")) for key in ("x", "y", "width", "height"))
            found.append((rect.get("class", ""), (start, end, first, last), (x, across)))
            scale = height / int(group.get("data-bytes", ""))
            assert (y - top, down) == pytest.approx((start * scale, (end - start) * scale), abs=0.02)
            assert left - 0.02 <= x <= x + across <= left + width + 0.02
        steps = [(at[0], at[1] / (box[3] - box[2] + 1), box[2]) for _, box, at in found]
        for x, across, first in steps:
            assert across == pytest.approx(steps[0][1], abs=0.02)
            assert x - steps[0][0] == pytest.approx((first - steps[0][2]) * steps[0][1], abs=0.6)
        result[group.get("data-name", "")] = [(css, box) for css, box, _ in found]
    return result


def meets(a: Box, b: Box) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] <= b[3] and b[2] <= a[3]


def may_meet(plan: Plan, a: Box, b: Box) -> bool:
    """Whether the step that reads the one last writes the other, and may: rows that are copied, results in place."""
    old, new = (a, b) if a[2] < b[2] else (b, a)
    step = new[2]
    if old[3] != step:
        return False

    def lies_in(box: Box, name: str) -> bool:
        return plan.address(name) <= box[0] and box[1] <= plan.address(name) + plan.graph.tensors[name].size_bytes

    node, placed = plan.steps[step].node, plan.draft.placed
    allowed = range(1) if node.op == "Copy" else plan.draft.choices[step].in_place
    operands = [node.inputs[index] for index in allowed if placed.place(node.inputs[index])]
    at = plan.address(node.output)
    return lies_in(new, node.output) and any(
        lies_in(old, name) and (node.op == "Copy" or plan.address(name) == at) for name in operands
    )


@pytest.mark.parametrize("seed", range(SEED, SEED + 12))
def test_the_drawing_is_the_plan(seed: int) -> None:
    plan = planned(seed)
    memory = memory_map(plan, f"seed {seed}")
    text = svg_map(memory)
    assert text == svg_map(memory_map(plan, f"seed {seed}")), "the same plan, the same bytes"
    drawn = boxes(parsed(text))[plan.arenas[0].region]
    rows = [box for css, box in drawn if css.startswith("row")]
    wanted = []
    for root, live in rectangles(plan.draft.placed).items():
        at = plan.offsets[root]
        wanted += [(at + start, at + end, first, last) for start, end, first, last in live.tolist()]
    sizes = {life.root: life for life in plan.lifetimes}
    for step, name in plan.draft.scratch.items():
        wanted.append((plan.offsets[name], plan.offsets[name] + sizes[name].size_bytes, step, step))
    assert sorted(rows) == sorted(wanted)
    kept = [(plan.offsets[p.root], plan.offsets[p.root] + p.size_bytes, p.first, p.last) for p in plan.lifetimes]
    assert {box for css, box in drawn if css == "kept"} == set(kept) - set(rows)
    assert all(0 <= box[0] <= box[1] <= plan.arena_bytes for box in rows)
    for number, a in enumerate(rows):
        for b in rows[:number]:
            assert not meets(a, b) or may_meet(plan, a, b), (seed, a, b)


@pytest.mark.parametrize("seed", range(SEED, SEED + 12))
def test_the_figures_are_the_plans(seed: int) -> None:
    plan = planned(seed)
    memory = memory_map(plan, "net")
    (region,) = memory.regions
    assert region.size_bytes == plan.arena_bytes
    assert memory.lower_bound_bytes(region) == plan.lower_bound_bytes
    live = memory.live(region)
    assert [s.index for s in memory.steps] == list(range(memory.first_step, memory.first_step + len(memory.steps)))
    inside = live[-memory.first_step :][: len(plan.steps)]
    np.testing.assert_array_equal(inside, plan.draft.live[: len(inside)])
    peaks = memory.peak_steps(region)
    assert all(live[step - memory.first_step] == plan.lower_bound_bytes for step in peaks)
    assert all(0 <= memory.needed_bytes(region, step) <= plan.lower_bound_bytes for step in peaks)
    for step in memory.steps:
        if 0 <= step.index < len(plan.steps):
            assert step.op == plan.steps[step.index].node.op
    inside_arena = {name for name in (*plan.graph.inputs, *plan.graph.outputs) if plan.draft.placed.place(name)}
    ports = {*plan.graph.inputs, *plan.graph.outputs}
    assert {port.name for port in memory.outside} == ports - inside_arena


def assert_readable(text: str) -> None:
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert not set(text) - {chr(code) for code in range(32, 127)} - {"\n"}


@pytest.mark.parametrize("seed", range(SEED, SEED + 12))
def test_the_text_says_what_sets_the_peak(seed: int) -> None:
    plan = planned(seed)
    text = text_map(memory_map(plan, "net"))
    assert_readable(text)
    assert f"{plan.arenas[0].region}: {plan.arena_bytes:,} B, lower bound {plan.lower_bound_bytes:,} B" in text
    if plan.lifetimes:
        share = [line for line in text.split("\npeak: ")[1].split("\n\n")[0].splitlines() if "%" in line]
        assert sum(int(line.split(" B")[0].replace(",", "")) for line in share) == plan.lower_bound_bytes
        assert f"{plan.lower_bound_bytes:,} B at step" in text


def test_bands_are_windows_and_are_condensed() -> None:
    plan = make_plan(run_passes(load(SHAPES).graph), M4, "ram")
    memory = memory_map(plan, "shapes")
    assert len(plan.steps) > 150
    assert len(plan.segments) == 1
    banded = [step for step in memory.steps if step.segment == 0]
    (segment,) = plan.segments
    assert len({step.layer for step in banded}) == segment.stop - segment.first
    assert [len(run) for run in memory.runs].count(1) == len(memory.runs) - 1
    assert len(memory.runs) - 1 == len(plan.steps) - len(banded) == 16 - (segment.stop - segment.first)
    assert "window" in {row.kind for piece in memory.pieces for row in piece.rows}
    text = text_map(memory)
    assert_readable(text)
    assert len(text.splitlines()) < 90
    assert len(svg_map(memory)) < 100_000


def test_many_steps_are_condensed() -> None:
    pieces = tuple(MapPiece(f"t{n}", "arena", n % 2 * 512, 512, n, n + 1, "activation",
                            (MapRow(f"t{n}", f"t{n}", "activation", n % 2 * 512, n % 2 * 512 + 512, n, n + 1),))
                   for n in range(299))  # fmt: skip
    steps = tuple(MapStep(n, "Relu", f"t{n}") for n in range(300))
    memory = MemoryMap("long", (MapRegion("arena", 1024),), steps, pieces)
    text = text_map(memory)
    assert_readable(text)
    assert len(text.splitlines()) < 150
    assert "259 smaller pieces" in text
    assert len(list(parsed(svg_map(memory)).iter(f"{SVG}rect"))) >= 299


def test_more_than_one_region() -> None:
    row = MapRow("b", "b", "activation", 0, 64, 1, 2)
    pieces = (MapPiece("a", "fast", 0, 32, 0, 1, "input"), MapPiece("b", "slow", 0, 64, 1, 2, "activation", (row,)))
    steps = tuple(MapStep(n, "Relu", "ab"[n % 2]) for n in range(3))
    memory = MemoryMap("two", (MapRegion("fast", 32), MapRegion("slow", 96)), steps, pieces)
    text = text_map(memory)
    assert "fast: 32 B, lower bound 32 B, gap 0 B" in text
    assert "slow: 96 B, lower bound 64 B, gap 32 B" in text
    drawn = boxes(parsed(svg_map(memory)))
    assert drawn == {"fast": [("kept", (0, 32, 0, 1))], "slow": [("row activation", (0, 64, 1, 2))]}


def test_nothing_in_the_arena() -> None:
    proto = make_model([helper.make_node("Relu", ["x"], ["y"])], [value("x", [1, 4])], ["y"])
    memory = memory_map(make_plan(run_passes(imported(proto).graph)), "one")
    assert "nothing is in it" in text_map(memory)
    assert "16 B  input x" in text_map(memory)
    parsed(svg_map(memory))


EVIL = ("\x1b[31mred", "</title><script>alert(1)</script>", "a&b\"'", "line\nbreak\x00\ufffe", "\u202eright", "名前",
        "x" * 300)  # fmt: skip


def test_names_from_the_model_do_no_harm() -> None:
    steps = tuple(MapStep(n, "Relu", name) for n, name in enumerate(EVIL))
    pieces = tuple(
        MapPiece(name, "arena", 64 * n, 64, n, n, "activation",
                 (MapRow(name, name, "activation", 64 * n, 64 * n + 64, n, n, (4, 4), "float32"),
                  MapRow(name + "[0:1]", name, "window", 64 * n, 64 * n + 32, n, n)))
        for n, name in enumerate(EVIL)
    )  # fmt: skip
    memory = MemoryMap(EVIL[1] + EVIL[0], (MapRegion(EVIL[2], 64 * len(EVIL)), MapRegion("arena", 448)), steps, pieces)
    assert_readable(text_map(memory))
    drawing = svg_map(memory)
    assert not set(drawing) - {chr(code) for code in range(32, 127)} - {"\n"}
    tags = {element.tag.removeprefix(SVG) for element in parsed(drawing).iter()}
    assert tags == {"svg", "title", "style", "rect", "text", "g", "line", "path"}
    assert "href" not in drawing
    assert "url(" not in drawing


def test_short_names() -> None:
    names = [*EVIL, *(f"/features/features.{n}/conv/conv.0/Conv_output_0" for n in range(30)), "plain"]
    short = short_names(names, 20)
    assert len(set(short.values())) == len(names)
    assert all(len(text) <= 20 and text.isascii() and text.isprintable() for text in short.values())
    assert short["plain"] == "plain"


def test_the_curve_begins_with_the_fastest_and_ends_with_the_smallest() -> None:
    graph = run_passes(load(DIGITS).graph)
    for options in (PlanOptions(), PlanOptions("ram"), PlanOptions("speed", ram_limit=5_500)):
        plan = make_plan(graph, M4, options)
        points = ram_curve(plan, M4, options)
        assert [p.cycles for p in points] == sorted(p.cycles for p in points)
        assert [p.arena_bytes for p in points] == sorted((p.arena_bytes for p in points), reverse=True)
        assert points[0].cuts == ()
        assert len(points) > 2
        (chosen,) = [p for p in points if p.planned]
        assert chosen.arena_bytes == plan.arena_bytes
        (cut,) = points[-1].cuts
        assert (cut.layers, cut.rows, cut.bands) == (3, 1, 4), "three layers down to the four rows of pool2"


@pytest.mark.parametrize("seed", range(SEED, SEED + 12))
def test_the_curve_is_of_the_network_before_bands(seed: int) -> None:
    graph = run_passes(imported(integer_network(seed) if seed % 2 else random_network(seed)).graph)
    for options in (PlanOptions("speed"), PlanOptions("ram", arena_ports=True)):
        plan = make_plan(graph, M4, options)
        program = plan.draft.base
        assert all(item.node.op == "Copy" or item.node.output == item.layer for item in program.work)
        for segment in sorted(plan.segments, key=lambda segment: -segment.first):
            cut = banded(program, segment)
            assert cut is not None
            program = cut
        again, made = (
            [(item.layer, item.node.name, item.node.inputs, item.node.outputs) for item in found.work]
            for found in (program, plan.draft.program)
        )
        assert again == made
        assert program.root_bytes == plan.draft.program.root_bytes
        assert sum(point.planned for point in ram_curve(plan, M4, options)) == 1


def test_the_plan_for_a_boards_ram_is_on_its_curve() -> None:
    graph = run_passes(load(DIGITS).graph)
    plan = make_plan(graph, M4, PlanOptions(ram_limit=5_500))
    points = ram_curve(plan, M4, PlanOptions())
    assert [point.arena_bytes for point in points if point.planned] == [plan.arena_bytes]


def test_every_kind_has_a_colour() -> None:
    row = MapRow("a", "a", "activation", 0, 4, 0, 0)
    for kind in KINDS:
        piece = MapPiece("a", "arena", 0, 4, 0, 0, kind, (replace(row, kind=kind),))
        memory = MemoryMap("m", (MapRegion("arena", 4),), (MapStep(0, "Relu", "a"),), (piece,))
        assert f".{kind}{{fill:#" in svg_map(memory)
        assert KINDS[kind] in svg_map(memory)


# ---- the command line

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Call the command line in this process: its status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edgewright", *map(str, words)])
        with pytest.raises(SystemExit) as leave:
            cli.main()
        return int(leave.value.code or 0), *capsys.readouterr()

    return run


def test_inspect_writes_maps(call: Call, tmp_path: Path) -> None:
    common = ("inspect", DIGITS, "-t", "mps2-an386", "--optimize", "ram", "--io", "arena")
    status, out, err = call(*common, "--memory-map", "m.svg")
    assert status == 0, err
    assert "boards" in out
    parsed((tmp_path / "m.svg").read_text())
    assert call(*common, "--memory-map", "m.txt", "-q")[:2] == (0, "")
    status, out, _ = call(*common, "--memory-map", "-")
    assert (status, out) == (0, (tmp_path / "m.txt").read_text())
    assert out.startswith("memory map of digits for mps2-an386\n")
    assert call(*common, "--memory-map", "-", "--json", "f.json")[1] == out
    facts = json.loads((tmp_path / "f.json").read_text())
    assert facts["fits"] == {"mps2-an386": True}
    assert f"ZBT_SRAM23: {facts['arena_bytes']:,} B" in out


def test_the_documents_show_what_the_commands_print(call: Call, tmp_path: Path) -> None:
    tutorial = (REPOSITORY / "docs" / "TUTORIAL.md").read_text()
    assert call("inspect", DIGITS, "--target", "mps2-an386", "--memory-map", "-")[1] in tutorial
    keywords = REPOSITORY / "examples" / "keywords" / "keywords.onnx"
    assert call("inspect", keywords, "--target", "mps2-an386", "--memory-map", "kws.svg", "-q")[0] == 0
    assert (tmp_path / "kws.svg").read_text() == (REPOSITORY / "docs" / "memory-kws.svg").read_text()


def test_inspect_plans_as_generate_does(call: Call, tmp_path: Path) -> None:
    settings = (DIGITS, "-t", "mps2-an386", "--ram-limit", "5500", "--io", "arena")
    assert call("inspect", *settings, "--json", "f.json", "-q", "--memory-map", "a.txt")[0] == 0
    assert call("generate", *settings, "-o", "p", "-q", "--memory-map", "b.txt")[0] == 0
    arena = json.loads((tmp_path / "f.json").read_text())["arena_bytes"]
    assert arena == json.loads((tmp_path / "p" / "edgewright.json").read_text())["memory"]["arena_bytes"] <= 5500
    assert (tmp_path / "a.txt").read_text() == (tmp_path / "b.txt").read_text()
    assert not list((tmp_path / "p").glob("*.svg"))


def test_the_curve_as_table_and_json(call: Call, tmp_path: Path) -> None:
    status, out, err = call("inspect", DIGITS, "-t", "mps2-an386", "--curve", "--json", "c.json")
    assert status == 0, err
    rows = json.loads((tmp_path / "c.json").read_text())["curve"]
    assert rows[0]["planned"]
    assert rows[0]["slowdown"] == 1
    for row in rows:
        assert f"{row['arena_bytes']:,} B" in out
        assert f"{row['cycles']:,}" in out
    assert rows[-1]["cuts"][0].keys() == {"first", "last", "layers", "rows", "bands"}
    assert "curve" not in json.loads(call("inspect", DIGITS, "--json", "-")[1])


def test_a_model_that_does_not_fit_has_a_map(call: Call, tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Sigmoid", ["a"], ["b"]),
             helper.make_node("Add", ["a", "b"], ["y"])]  # fmt: skip
    onnx.save(make_model(nodes, [value("x", [1, 400_000])], ["y"]), tmp_path / "big.onnx")
    status, _, err = call("generate", "big.onnx", "-t", "microbit", "--memory-map", "m.txt")
    assert status == 2
    assert "too few" in err
    assert "peak: " in (tmp_path / "m.txt").read_text()


def test_maps_that_are_refused(call: Call, tmp_path: Path) -> None:
    model = tmp_path / "m.svg"
    model.write_bytes(DIGITS.read_bytes())

    def refused(*words: object, says: str) -> None:
        status, _, err = call(*words)
        assert status == 2, err
        assert says in err
        assert len(err.strip().splitlines()) == 1

    inspect = ("inspect", model, "--memory-map")
    refused(*inspect, "m.svg", says="would be lost")
    refused(*inspect, "map.png", says=".svg or .txt")
    refused(*inspect, "none/map.svg", says="folder does not exist")
    refused(*inspect, "-", "--json", "-", says="standard output")
    refused(*inspect, "a.txt", "--json", "a.txt", says="would be lost")
    generate = ("generate", model, "-t", "host", "-o", "p", "--memory-map")
    refused(*generate, "m.svg", says="would be lost")
    refused(*generate, "p/map.svg", says="would be lost")
    assert model.read_bytes() == DIGITS.read_bytes()
    refused("inspect", DIGITS, "--optimize", "fast", says="fast")
    refused("inspect", DIGITS, "-t", "toaster", says="toaster")
    refused("inspect", DIGITS, "-t", "mps2-an386", "--ram-limit", "100", says="the least is")
