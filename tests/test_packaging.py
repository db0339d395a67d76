"""The wheel, the sdist and the editable install hold what is tracked, all of it and nothing else.

Builds run on a copy of the tracked files with rubbish planted in it, offline and without build
isolation. Fresh environments borrow this one's packages through a .pth file, which does not start
the import hook of an editable edgewright that may be installed here.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
DATA_FOLDERS = ("templates", "targets", "runtime_c")
RUBBISH = (
    "generator/__pycache__/errors.cpython-311.pyc",
    "generator/passes/__pycache__/fold.cpython-311.pyc",
    "runtime_c/kernels/conv2d/ew_conv2d_f32.o",
    "runtime_c/__pycache__/x.pyc",
    "targets/host/build/CMakeCache.txt",
    "templates/build/deep/er/model.c",
)
# Prints where the package and its data lie, having used them.
PROBE = """
import edgewright
from edgewright.boards import list_targets, load_target
from edgewright.resources import resource_dir
for name in ("templates", "targets", "runtime_c"):
    assert any(resource_dir(name).iterdir()), name
assert load_target("mps2-an386").name == "mps2-an386"
assert {"host", "mps2-an386"} <= {target.name for target in list_targets()}
print(edgewright.__file__)
print(resource_dir("targets"))
"""


def run(*argv: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in argv], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


def run_well(*argv: str | Path, cwd: Path) -> str:
    done = run(*argv, cwd=cwd)
    assert done.returncode == 0, f"{argv}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def tracked_files() -> list[str]:
    """Paths git tracks, and new ones it does not ignore."""
    if not (REPOSITORY / ".git").exists() or not shutil.which("git"):
        pytest.skip("needs git and a git checkout to know which files are tracked")
    listed = run_well("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=REPOSITORY)
    return [path for path in listed.split("\0") if path and (REPOSITORY / path).is_file()]


def name_in_package(path: str) -> str | None:
    """Where a tracked file goes in the wheel; None when it stays out."""
    top, _, rest = path.partition("/")
    if top == "generator":
        return f"edgewright/{rest}"
    return f"edgewright/{path}" if top in DATA_FOLDERS else None


@pytest.fixture(scope="module")
def builder() -> str:
    """The interpreter to build with: this one, if it has what building without isolation needs."""
    needed = {"build": 1, "setuptools": 77}  # as in the dev extra
    for name, major in needed.items():
        try:
            there = int(metadata.version(name).split(".")[0])
        except metadata.PackageNotFoundError:
            there = 0
        if there < major:
            pytest.skip(f"needs {name} {major} or later, part of the dev extra: pip install -e '.[dev]'")
    return sys.executable


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean checkout with rubbish in it."""
    root = tmp_path_factory.mktemp("packaging") / "check out"
    for path in tracked_files():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / path, root / path)
    for path in RUBBISH:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("rubbish\n")
    return root


@pytest.fixture(scope="module")
def dist(builder: str, copy: Path) -> Path:
    """The folder with the sdist, and the wheel that was built out of that sdist."""
    folder = copy.parent / "dist"
    run_well(builder, "-m", "build", "--no-isolation", "--outdir", folder, copy, cwd=copy.parent)
    return folder


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def fresh_environment(folder: Path) -> Path:
    """Make a virtual environment without edgewright and return its interpreter."""
    run_well(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    script = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run_well(python, "-c", script, cwd=folder).strip())
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    assert run(python, "-c", "import edgewright", cwd=folder).returncode == 1
    return python


def pip_install(python: Path, *arguments: str | Path) -> None:
    # --ignore-installed: the borrowed packages' edgewright, if any, is not this environment's to remove.
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--ignore-installed")
    pip = (sys.executable, "-m", "pip", "--python", python, "install")
    run_well(*pip, *options, "--no-build-isolation", *arguments, cwd=python.parent)


def test_every_folder_of_python_is_a_listed_package() -> None:
    setup = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {name for path in tracked_files() if path.endswith(".py") and (name := name_in_package(path))}
    folders = {str(Path(name).parent).replace("/", ".") for name in found if name.split("/")[1] not in DATA_FOLDERS}
    expected = folders | {f"edgewright.{name}" for name in DATA_FOLDERS}
    assert set(setup["packages"]) == expected
    assert len(setup["packages"]) == len(expected), "a package is listed twice"


def test_the_source_folder_refuses_to_be_imported_by_its_own_name() -> None:
    done = run(sys.executable, "-c", "import generator", cwd=REPOSITORY)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError:")
    assert "edgewright" in last


@pytest.mark.slow
def test_the_wheel_holds_exactly_the_tracked_files(dist: Path) -> None:
    expected = {name for path in tracked_files() if (name := name_in_package(path))}
    with zipfile.ZipFile(only(dist, "*.whl")) as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}
    package = {name for name in names if ".dist-info/" not in name}
    assert sorted(expected - package) == [], "tracked, and not in the wheel"
    assert sorted(package - expected) == [], "in the wheel, and not tracked"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_the_sdist_holds_all_that_the_wheel_needs(dist: Path) -> None:
    with tarfile.open(only(dist, "*.tar.gz")) as sdist:
        names = {member.name.partition("/")[2] for member in sdist if member.isfile()}
    needed = {path for path in tracked_files() if name_in_package(path)} | {"pyproject.toml", "LICENSE", "README.md"}
    assert sorted(needed - names) == []
    assert not names & set(RUBBISH)


@pytest.mark.slow
def test_an_installed_wheel_works_from_anywhere(dist: Path, tmp_path: Path) -> None:
    python = fresh_environment(tmp_path / "environment")
    pip_install(python, only(dist, "*.whl"))
    package, targets = run_well(python, "-c", PROBE, cwd=tmp_path).splitlines()
    assert Path(package).is_relative_to(tmp_path)
    assert Path(targets) == Path(package).parent / "targets"
    assert "deploy" in run_well(python.parent / "edgewright", "--help", cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("builder")
def test_an_editable_install_works_from_anywhere(copy: Path, tmp_path: Path) -> None:
    python = fresh_environment(tmp_path / "environment")
    pip_install(python, "--editable", copy)
    package, targets = run_well(python, "-c", PROBE, cwd=tmp_path).splitlines()
    assert Path(package) == copy / "generator" / "__init__.py"
    assert Path(targets) == copy / "targets"
    assert "deploy" in run_well(python.parent / "edgewright", "--help", cwd=tmp_path)
    guarded = run(python, "-c", "import generator", cwd=copy)
    assert guarded.returncode == 1
    assert "import edgewright" in guarded.stderr


@pytest.mark.slow
def test_a_subpackage_missing_from_the_list_is_noticed(builder: str, copy: Path, tmp_path: Path) -> None:
    """The comparison above can fail: without a line in `packages` the folder is not in the wheel."""
    root = tmp_path / "checkout"
    shutil.copytree(copy, root, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    settings = (root / "pyproject.toml").read_text()
    assert '    "edgewright.passes",\n' in settings
    (root / "pyproject.toml").write_text(settings.replace('    "edgewright.passes",\n', ""))
    run_well(builder, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, root, cwd=tmp_path)
    with zipfile.ZipFile(only(tmp_path, "*.whl")) as wheel:
        assert not [name for name in wheel.namelist() if name.startswith("edgewright/passes/")]
