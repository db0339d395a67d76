"""`python -m edgewright.conformance`."""

from edgewright.entry import conformance

if __name__ == "__main__":  # worker processes import this module, too
    conformance()
