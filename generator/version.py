"""The version of edgewright, for generated files and results."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("edgewright")
except PackageNotFoundError:  # run from a checkout that is not installed
    VERSION = "0+unknown"
