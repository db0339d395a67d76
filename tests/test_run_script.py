"""`./run`: set-up decisions, exact commands, and what is passed on; nothing is really installed.

Every test runs the real script in a bare checkout whose PATH holds only the tools named here and
stand-ins that write down how they were called.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
CORE_TOOLS = ("cat", "cksum", "cp", "dirname", "env", "ln", "mkdir", "mv", "rm", "sed", "true")
ALL_PACKAGES = "gcc libc6-dev gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
INSTALL = "apt-get install -y --no-install-recommends"

# Makes environments that hold itself, fails where FAKE_FAIL names a part of its arguments.
FAKE_PYTHON = """#!/bin/sh
echo "python $*" >>"$LOG"
case "$*" in *"${FAKE_FAIL:-no such argument}"*) exit 1 ;; esac
case "$*" in
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$FAKES/edgewright" "$3/bin/edgewright" ;;
    *print*-venv*) echo python3.11-venv ;;
    "-m pip --version") case $0 in */.venv/*) ;; *) exit 1 ;; esac ;;
esac
"""
FAKE_ARM_GCC = """#!/bin/sh
case "$*" in -print-file-name=*) echo "${FAKE_NEWLIB-/usr/lib/}nano.specs" ;; esac
"""


def logger(name: str, status: str = "0") -> str:
    return f'#!/bin/sh\necho "{name} $*" >>"$LOG"\nexit {status}\n'


@dataclass
class Checkout:
    """A checkout with stand-ins for everything outside it."""

    root: Path
    bin: Path
    environment: dict[str, str] = field(default_factory=dict)

    def fake(self, name: str, script: str) -> None:
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def with_compilers(self) -> None:
        self.fake("cc", "#!/bin/sh\nexit 0\n")
        self.fake("arm-none-eabi-gcc", FAKE_ARM_GCC)
        self.fake("qemu-system-arm", "#!/bin/sh\nexit 0\n")

    def user_id(self, number: int) -> None:
        self.fake("id", f"#!/bin/sh\necho {number}\n")

    def run(self, *arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        self.log_path.write_text("")
        return subprocess.run(
            [str(self.root / "run"), *arguments],
            cwd=cwd or self.root.parent,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def log_path(self) -> Path:
        return self.bin.parent / "log"

    def calls(self, prefix: str) -> list[str]:
        return [line for line in self.log_path.read_text().splitlines() if line.startswith(prefix)]

    def pip_installs(self) -> list[str]:
        return self.calls("python -m pip install")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout, in a folder with a space in its name, of a user without rights or compilers."""
    root, folder = tmp_path / "a check out", tmp_path / "bin"
    root.mkdir()
    folder.mkdir()
    for name in ("run", "pyproject.toml", "constraints.txt"):
        shutil.copy2(REPOSITORY / name, root / name)
    for name in CORE_TOOLS:
        tool = shutil.which(name)
        assert tool, f"this machine has no '{name}'"
        (folder / name).symlink_to(tool)
    log, home = str(tmp_path / "log"), str(tmp_path)
    made = Checkout(root, folder, {"PATH": str(folder), "LOG": log, "FAKES": str(folder), "HOME": home})
    made.fake("python3", FAKE_PYTHON)
    made.fake("edgewright", '#!/bin/sh\nprintf "edgewright|%s\\n" "$*" >>"$LOG"\n')
    made.fake("apt-get", logger("apt-get"))
    made.user_id(1000)
    return made


def test_help_names_every_command(checkout: Checkout) -> None:
    for arguments in ((), ("help",), ("--help",)):
        done = checkout.run(*arguments)
        assert done.returncode == 0
        for word in ("demo", "test", "setup", "help", "EDGEWRIGHT_NO_APT"):
            assert word in done.stdout
    assert not (checkout.root / ".venv").exists()


def test_unknown_command_is_the_users_fault(checkout: Checkout) -> None:
    done = checkout.run("dmeo")
    assert done.returncode == 2
    assert "no command 'dmeo'" in done.stderr
    assert not (checkout.root / ".venv").exists()


def test_without_rights_it_prints_the_exact_command(checkout: Checkout) -> None:
    done = checkout.run("setup")
    assert done.returncode == 0, done.stderr
    assert f"    sudo apt-get update && sudo {INSTALL} {ALL_PACKAGES}\n" in done.stderr
    assert "no rights to install packages" in done.stderr
    assert not checkout.calls("apt-get")


def test_a_sudo_that_wants_a_password_is_not_used(checkout: Checkout) -> None:
    checkout.fake("sudo", logger("sudo", "1"))
    done = checkout.run("setup")
    assert done.returncode == 0, done.stderr
    assert f"sudo {INSTALL} {ALL_PACKAGES}\n" in done.stderr
    assert checkout.calls("sudo") == ["sudo -n true"]
    assert not checkout.calls("apt-get")


def test_sudo_without_password_installs_only_what_is_missing(checkout: Checkout) -> None:
    checkout.with_compilers()
    (checkout.bin / "qemu-system-arm").unlink()
    checkout.fake("sudo", '#!/bin/sh\necho "sudo $*" >>"$LOG"\nshift\nexec "$@"\n')
    done = checkout.run("setup")
    assert done.returncode == 0, done.stderr
    installs = [call for call in checkout.calls("apt-get") if "--simulate" not in call]
    assert len(installs) == 1
    assert installs[0].endswith("install -y --no-install-recommends qemu-system-arm")
    assert any("DEBIAN_FRONTEND=noninteractive" in call for call in checkout.calls("sudo -n env"))


def test_no_apt_is_respected_even_by_root(checkout: Checkout) -> None:
    checkout.user_id(0)
    done = checkout.run("setup", EDGEWRIGHT_NO_APT="1")
    assert done.returncode == 0, done.stderr
    assert "EDGEWRIGHT_NO_APT is set" in done.stderr
    assert f"    apt-get update && {INSTALL} {ALL_PACKAGES}\n" in done.stderr
    assert not checkout.calls("apt-get")


def test_a_machine_without_apt_gets_the_names(checkout: Checkout) -> None:
    (checkout.bin / "apt-get").unlink()
    done = checkout.run("setup")
    assert done.returncode == 0, done.stderr
    assert f"no apt-get here; Debian calls the packages: {ALL_PACKAGES}" in done.stderr


def test_stale_lists_are_fetched_once_more(checkout: Checkout) -> None:
    checkout.user_id(0)
    checkout.fake("apt-get", '#!/bin/sh\necho "apt-get $*" >>"$LOG"\ncase "$*" in *simulate*) exit 100 ;; esac\n')
    assert checkout.run("setup").returncode == 0
    kinds = [word for call in checkout.calls("apt-get") for word in call.split() if word in ("update", "install")]
    assert kinds == ["install", "update", "install"]


def test_apt_that_fails_is_reported_and_not_asked_again(checkout: Checkout) -> None:
    checkout.user_id(0)
    checkout.fake("apt-get", '#!/bin/sh\necho "apt-get $*" >>"$LOG"\necho "E: no network" >&2\nexit 100\n')
    checkout.fake("cc", "#!/bin/sh\nexit 0\n")
    first = checkout.run("demo")
    assert first.returncode == 0, first.stderr
    assert "E: no network" in first.stderr
    assert "apt-get failed (see above)" in first.stderr
    assert checkout.calls("apt-get")

    second = checkout.run("demo")
    assert second.returncode == 0
    cross_packages = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
    assert f"    apt-get update && {INSTALL} {cross_packages}\n" in second.stderr
    assert not checkout.calls("apt-get")

    assert checkout.run("setup").returncode == 0
    assert checkout.calls("apt-get"), "an explicit setup tries again"


def test_python_without_ensurepip_wants_the_venv_package(checkout: Checkout) -> None:
    checkout.with_compilers()
    done = checkout.run("setup", FAKE_FAIL="import ensurepip", EDGEWRIGHT_PYTHON=str(checkout.bin / "python3"))
    assert done.returncode == 2
    assert f"sudo {INSTALL} python3.11-venv\n" in done.stderr
    assert "no Python 3.11 or later that can make a virtual environment" in done.stderr
    assert not (checkout.root / ".venv").exists()


def test_an_unfit_edgewright_python_is_refused(checkout: Checkout) -> None:
    done = checkout.run("setup", EDGEWRIGHT_PYTHON="/nowhere/python")
    assert done.returncode == 2
    assert "EDGEWRIGHT_PYTHON=/nowhere/python is not a Python 3.11 or later" in done.stderr


def test_second_call_installs_nothing(checkout: Checkout) -> None:
    checkout.with_compilers()
    assert checkout.run("demo").returncode == 0
    assert checkout.pip_installs() == [
        "python -m pip install --quiet --disable-pip-version-check"
        f" --constraint {checkout.root}/constraints.txt --editable {checkout.root}[dev,ort]"
    ]
    done = checkout.run("demo")
    assert done.returncode == 0
    assert done.stderr == ""
    assert not checkout.pip_installs()


def test_versions_that_do_not_install_are_left_for_the_newest(checkout: Checkout) -> None:
    checkout.with_compilers()
    done = checkout.run("setup", FAKE_FAIL="--constraint")
    assert done.returncode == 0, done.stderr
    assert "do not install here" in done.stderr
    assert ["--constraint" in line for line in checkout.pip_installs()] == [True, False]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed_into_the_same_environment(checkout: Checkout, name: str) -> None:
    checkout.with_compilers()
    assert checkout.run("setup").returncode == 0
    with (checkout.root / name).open("a") as file:
        file.write("# changed\n")
    assert checkout.run("setup").returncode == 0
    assert len(checkout.pip_installs()) == 1
    assert not checkout.calls("python -m venv")


def test_an_unfinished_environment_is_made_afresh(checkout: Checkout) -> None:
    checkout.with_compilers()
    failed = checkout.run("setup", FAKE_FAIL="pip install")
    assert failed.returncode == 2
    assert "pip failed (see above)" in failed.stderr
    leftover = checkout.root / ".venv" / "half a package"
    leftover.touch()
    done = checkout.run("setup")
    assert done.returncode == 0, done.stderr
    assert len(checkout.calls("python -m venv")) == 1
    assert not leftover.exists()
    assert checkout.run("demo").stderr == ""


@pytest.mark.parametrize("harm", ["no python", "moved"])
def test_a_dead_environment_is_made_afresh(checkout: Checkout, harm: str) -> None:
    checkout.with_compilers()
    assert checkout.run("setup").returncode == 0
    if harm == "moved":
        checkout.root = checkout.root.rename(checkout.root.with_name("elsewhere"))
    else:
        (checkout.root / ".venv" / "bin" / "python").unlink()
    done = checkout.run("setup")
    assert done.returncode == 0, done.stderr
    assert "making .venv afresh" in done.stderr
    assert len(checkout.calls("python -m venv")) == 1
    assert not (checkout.root / ".venv.broken").exists()


def test_a_users_own_environment_is_kept(checkout: Checkout) -> None:
    checkout.with_compilers()
    folder = checkout.root / ".venv" / "bin"
    folder.mkdir(parents=True)
    shutil.copy(checkout.bin / "python3", folder / "python")
    (folder / "mine").touch()
    done = checkout.run("setup")
    assert done.returncode == 0, done.stderr
    assert (folder / "mine").exists()
    assert len(checkout.pip_installs()) == 1


def test_demo_deploys_to_the_board_and_passes_arguments_on(checkout: Checkout) -> None:
    checkout.with_compilers()
    done = checkout.run("demo", "--json", "my result.json", cwd=Path("/"))
    assert done.returncode == 0, done.stderr
    example = checkout.root / "examples" / "digits"
    command = f"edgewright|deploy {example}/digits.onnx --target mps2-an386 --data {example}/digits_test.npz"
    command += " --batch 100"
    integers = f"--calibration {example}/digits_calibration.npz --compare-float"
    assert checkout.calls("edgewright|") == [f"{command} {integers} --json my result.json"]
    assert checkout.run("demo", "--json", "r.json", "--float", "-q").returncode == 0
    assert checkout.calls("edgewright|") == [f"{command} --json r.json -q"]


@pytest.mark.parametrize("missing", ["arm-none-eabi-gcc", "newlib", "qemu-system-arm"])
def test_demo_says_plainly_when_it_runs_on_the_host(checkout: Checkout, missing: str) -> None:
    checkout.with_compilers()
    if missing != "newlib":
        (checkout.bin / missing).unlink()
    done = checkout.run("demo", **({"FAKE_NEWLIB": ""} if missing == "newlib" else {}))
    assert done.returncode == 0, done.stderr
    assert "runs on the HOST target" in done.stderr
    assert "--target host " in checkout.calls("edgewright|")[0]


def test_demo_without_any_compiler_stops(checkout: Checkout) -> None:
    done = checkout.run("demo")
    assert done.returncode == 2
    assert "no C compiler" in done.stderr
    assert not checkout.calls("edgewright|")


def test_test_runs_the_checks_in_order(checkout: Checkout) -> None:
    checkout.with_compilers()
    checkout.run("setup")
    done = checkout.run("test", "-k", "conv or pool")
    assert done.returncode == 0, done.stderr
    assert [call for call in checkout.calls("python -m") if "pip" not in call] == [
        "python -m ruff check .",
        "python -m mypy",
        "python -m pytest -m not slow -k conv or pool",
    ]
    assert (checkout.root / "out" / "mypy" / "edgewright").readlink() == Path("../../generator")


@pytest.mark.parametrize(("arguments", "environment"), [(["--all"], {}), ([], {"CI": "true"})])
def test_test_runs_everything_when_asked(
    checkout: Checkout, arguments: list[str], environment: dict[str, str]
) -> None:
    checkout.with_compilers()
    done = checkout.run("test", *arguments, "-x", **environment)
    assert done.returncode == 0, done.stderr
    assert checkout.calls("python -m pytest") == ["python -m pytest -x"]
    riscv = "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc"
    assert f"missing packages: clang {riscv}\n" in done.stderr
    checkout.fake("riscv64-unknown-elf-gcc", FAKE_ARM_GCC.replace("nano", "picolibc"))
    assert "missing packages: clang qemu-system-misc\n" in checkout.run("test", *arguments, **environment).stderr


@pytest.mark.parametrize(("failing", "last"), [("ruff", "ruff check ."), ("mypy", "mypy"), ("pytest", "pytest")])
def test_test_stops_at_the_first_failure(checkout: Checkout, failing: str, last: str) -> None:
    checkout.with_compilers()
    done = checkout.run("test", FAKE_FAIL=f"-m {failing}")
    assert done.returncode == 1
    assert checkout.calls("python -m")[-1].startswith(f"python -m {last}")


@pytest.mark.parametrize("status", ["0", "1"])
def test_all_tests_get_rp2040js_where_node_is_there(checkout: Checkout, status: str) -> None:
    """Once, and without it where npm fails."""
    checkout.with_compilers()
    for name in ("node", "npm"):
        checkout.fake(name, logger(name, status))
    assert checkout.run("test").returncode == 0
    assert not checkout.calls("npm")
    done = checkout.run("test", "--all")
    assert done.returncode == 0, done.stderr
    (call,) = checkout.calls("npm")
    assert call.endswith(f"--prefix {checkout.root} rp2040js@1.4.1")
    assert ("tests of rpi-pico are skipped" in done.stderr) == (status == "1")
    (checkout.root / "node_modules" / "rp2040js").mkdir(parents=True)
    checkout.run("test", "--all")
    assert not checkout.calls("npm")


def test_ci_runs_everything_through_run() -> None:
    assert "CI=true exec ./run test" in (REPOSITORY / ".ci" / "run").read_text()
    for path in ("run", ".ci/run"):
        assert os.access(REPOSITORY / path, os.X_OK), f"{path} is not executable"
