"""What is installed, what is missing, and the exact command that brings it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

from edgewright.boards import Target, Tool, list_targets
from edgewright.drivers.process import find_tool, install_hint, run
from edgewright.errors import ToolError

# name, purpose, what is without it, remedy
_OPTIONAL_PACKAGES = (
    ("onnxruntime", "the reference in every run", "ONNX's own evaluator is taken, which is slower",
     "pip install 'edgewright[ort]'"),
    ("ppk2-api", "--meter ppk2", "there is none", "pip install 'edgewright[ppk2]'"),
    ("pyjoulescope_driver", "--meter joulescope", "there is none", "pip install 'edgewright[joulescope]'"),
)  # fmt: skip
_BUILD_TOOLS = ("cmake", "ninja")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for; `version` is None where it is missing, and `remedy` then says what to do."""

    name: str
    purpose: str
    version: str | None
    remedy: str | None

    def record(self) -> dict[str, str | None]:
        """The finding as JSON has it."""
        return asdict(self)


def examine() -> list[Finding]:
    """Look for every tool that some target needs, and for the optional Python packages."""
    purposes: dict[str, str] = dict.fromkeys(_BUILD_TOOLS, "builds generated projects")
    checked: dict[str, Finding] = {}
    for target in list_targets():
        for tool in target.tool:
            if not tool.check:
                purposes.setdefault(tool.name, tool.purpose)
            elif tool.name not in checked:
                checked[tool.name] = check_tool(target, tool)
    purposes.setdefault("cc", "compiles for this computer, and the emulator's instruction counter")
    findings = [_tool(name, purpose) for name, purpose in purposes.items()]
    findings += checked.values()
    for name, purpose, without, remedy in _OPTIONAL_PACKAGES:
        try:
            findings.append(Finding(name, purpose, version(name), None))
        except PackageNotFoundError:
            findings.append(Finding(name, f"{purpose}; without it {without}", None, remedy))
    return findings


def check_tool(target: Target, tool: Tool) -> Finding:
    """Look for a tool of a target as its `check` says, or else for a program of its name."""
    if not tool.check:
        return _tool(tool.name, tool.purpose)
    script = "" if tool.script is None else str(target.resolve(tool.script))
    try:
        lines = run([word.replace("{script}", script) for word in tool.check], timeout_s=20.0).stdout.splitlines()
    except ToolError:
        return Finding(tool.name, tool.purpose, None, tool.hint)
    return Finding(tool.name, tool.purpose, lines[0].strip() if lines else tool.name, None)


def _tool(name: str, purpose: str) -> Finding:
    try:
        path = find_tool(name)
    except ToolError:
        return Finding(name, purpose, None, install_hint(name))
    try:
        lines = run([path, "--version"], timeout_s=20.0).stdout.splitlines()
    except ToolError as error:
        return Finding(name, purpose, None, f"{path} does not run: {error}")
    return Finding(name, purpose, lines[0].strip() if lines else str(path), None)
