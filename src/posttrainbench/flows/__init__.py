"""Flows: one story each, read top to bottom. They are handed their members."""
