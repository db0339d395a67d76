"""Frontends: a foreign format in, a Graph out. Each is the only module that imports its format's library."""
