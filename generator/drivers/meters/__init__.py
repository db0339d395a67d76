"""Power meters: a module each, `core` their interface, `windows` the arithmetic, `registry` what there is."""
