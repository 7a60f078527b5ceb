"""Judges: who says whether a run kept the rules."""
