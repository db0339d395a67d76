"""Everything that talks to something outside Python: processes, emulators, serial links, boards."""
