"""`python -m edgewright`."""

from edgewright.entry import main

main()
