"""Reporting: what was measured becomes one record, and the record a table or a file. Nothing is measured here."""
