"""Processes are logged, limited, quoted when they fail, and never stay behind; the host's port serves a pty."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import serial

from edgewright.boards import load_target
from edgewright.drivers import process
from edgewright.errors import ToolError
from edgewright.resources import resource_dir

LIMIT_S = 20.0
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="not installed: cc")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")


def alive(pid):
    """Whether a process runs; a dead one that its parent has not looked at does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not state.parent.parent.is_dir() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_until_gone(pid):
    deadline = time.monotonic() + LIMIT_S
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.01)


def python(code):
    return [Path(sys.executable), "-c", textwrap.dedent(code)]


def test_run_returns_what_was_written(tmp_path):
    done = process.run(
        python("import os, sys; print(os.getcwd(), os.environ['A']); print('e', file=sys.stderr)"),
        cwd=tmp_path,
        env={"A": "b"},
        timeout_s=LIMIT_S,
    )
    assert (done.stdout, done.stderr) == (f"{tmp_path} b\n", "e\n")
    assert 0 < done.seconds < LIMIT_S


def test_run_takes_no_shell(tmp_path):
    word = "$(touch x); `touch x` && touch x | touch x"
    done = process.run([*python("import sys; print(sys.argv[1])"), word], cwd=tmp_path, timeout_s=LIMIT_S)
    assert done.stdout == word + "\n"
    assert not list(tmp_path.iterdir())


def test_missing_tool_says_how_to_get_it(monkeypatch):
    with pytest.raises(ToolError, match="'no-such-tool' is not installed"):
        process.run(["no-such-tool"], timeout_s=1)
    with pytest.raises(ToolError, match="'/no/such/tool' is not there"):
        process.run(["/no/such/tool"], timeout_s=1)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    with pytest.raises(ToolError, match="apt-get install -y gcc-arm-none-eabi libnewlib-arm-none-eabi"):
        process.find_tool("arm-none-eabi-gcc")
    assert "-m pip install ninja" in process.install_hint("ninja")


def test_tools_of_the_python_environment_win():
    assert process.find_tool("cmake").parent == Path(sys.executable).parent


def test_failing_tool_is_quoted():
    code = (
        "import sys; print('\\n'.join(f'line {i}.' for i in range(99))); print('the end', file=sys.stderr); sys.exit(7)"
    )
    with pytest.raises(ToolError) as caught:
        process.run(python(code), timeout_s=LIMIT_S)
    message = str(caught.value)
    assert "failed with exit status 7" in message
    assert message.endswith("line 98.\nthe end")
    assert "line 5." not in message


def test_time_limit_ends_the_whole_group(tmp_path):
    code = """
        import pathlib, subprocess, time
        child = subprocess.Popen(["sleep", "60"])
        pathlib.Path("pid").write_text(str(child.pid))
        print("said before", flush=True)
        time.sleep(60)
    """
    with pytest.raises(ToolError, match=r"did not finish within 1\.5 s and was ended:\nsaid before"):
        process.run(python(code), cwd=tmp_path, timeout_s=1.5)
    wait_until_gone(int((tmp_path / "pid").read_text()))


def test_interrupt_ends_a_waiting_run(tmp_path):
    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        with pytest.raises(KeyboardInterrupt):
            process.run(
                python("import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"),
                cwd=tmp_path,
                timeout_s=LIMIT_S,
            )
    finally:
        signal.signal(signal.SIGALRM, before)
    wait_until_gone(int((tmp_path / "pid").read_text()))


def test_background_ends_with_its_block():
    with process.start(["sleep", "60"]) as background:
        pid = background.pid
        assert alive(pid)
        assert background.exit_status() is None
    assert not alive(pid)
    background.close()  # harmless


def test_background_that_does_not_listen_is_killed(monkeypatch):
    monkeypatch.setattr(process, "_TERM_GRACE_S", 0.2)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    with process.start(python(code)) as background:
        background.wait_for_line("deaf", LIMIT_S)
    assert not alive(background.pid)


def test_background_lines():
    code = "import time; print('port 12', flush=True); print('port 13', flush=True); time.sleep(60)"
    with process.start(python(code)) as background:
        assert background.wait_for_line(r"port (\d+)", LIMIT_S)[1] == "12"
        assert background.wait_for_line(r"port (\d+)", LIMIT_S)[1] == "13"
        assert background.last_words == "port 12\nport 13"
        with pytest.raises(ToolError, match=r"said nothing like 'more' within 0\.1 s:\nport 12"):
            background.wait_for_line("more", 0.1)


def test_background_that_ends_early_is_quoted():
    with (
        process.start(python("import sys; sys.exit('out of paper')")) as background,
        pytest.raises(ToolError, match=r"failed with exit status 1:\nout of paper"),
    ):
        background.wait_for_line("ready", LIMIT_S)


@needs_linux
def test_background_is_pinned_and_dies_with_a_killed_python():
    code = """
        import os, time
        from edgewright.drivers.process import start
        background = start(["sleep", "60"])
        print(background.pid, len(os.sched_getaffinity(background.pid)), flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([str(word) for word in python(code)], stdout=subprocess.PIPE) as holder:
        pid, cpus = map(int, holder.stdout.readline().split())
        assert alive(pid)
        assert cpus == 1
        holder.kill()
    wait_until_gone(pid)


def test_forgotten_background_ends_when_python_does():
    code = """
        from edgewright.drivers.process import start
        background = start(["sleep", "60"])
        print(background.pid)
    """
    done = process.run(python(code), timeout_s=LIMIT_S)
    wait_until_gone(int(done.stdout))


# ---- the host's port: an executable behind a pty ----

HOST_ECHO = """
#include "ew_port.h"
int main(void)
{
    static uint8_t bytes[4096];
    ew_port_init();
    for (;;) {
        size_t count = ew_port_read(bytes, sizeof bytes);
        if (count == 0) {
            return 0;
        }
        ew_port_write(bytes, count);
    }
}
"""


@pytest.fixture(scope="module")
def host_echo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    (folder / "main.c").write_text(HOST_ECHO)
    port = load_target("host").resolve("host/ew_port_host.c")
    include = resource_dir("runtime_c") / "link"
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", f"-I{include}"]
    process.run(["cc", *flags, "-DLINGER_MS=300", "main.c", port, "-o", "echo"], cwd=folder, timeout_s=60)
    return folder / "echo"


def echo(path, data):
    with serial.Serial(path, timeout=LIMIT_S, write_timeout=LIMIT_S) as line:
        line.write(data)
        return line.read(len(data))


@needs_cc
def test_host_port_passes_all_bytes_and_waits_for_the_next_peer(host_echo):
    with process.start([host_echo], pin=False) as background:
        path = background.wait_for_line(r"^(/dev/\S+)$", LIMIT_S)[1]
        data = bytes(range(256)) * 8
        assert echo(path, data) == data
        time.sleep(0.1)
        assert background.exit_status() is None
        assert echo(path, data) == data
        deadline = time.monotonic() + LIMIT_S
        while background.exit_status() is None:  # the peer does not come back
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert background.exit_status() == 0


@needs_cc
def test_host_port_ends_on_sigterm(host_echo):
    started = time.monotonic()
    with process.start([host_echo], pin=False) as background:
        background.wait_for_line(r"^(/dev/\S+)$", LIMIT_S)
    assert background.exit_status() == 0
    assert time.monotonic() - started < process._TERM_GRACE_S


@needs_cc
@needs_linux
def test_host_port_dies_with_its_parent(host_echo):
    with subprocess.Popen(["/bin/sh", "-c", f"'{host_echo}' & echo $!; wait"], stdout=subprocess.PIPE) as shell:
        lines = [shell.stdout.readline().strip() for _ in range(2)]  # the path and the number, in any order
        pid = next(int(line) for line in lines if line.isdigit())
        assert alive(pid)
        shell.kill()
    wait_until_gone(pid)
