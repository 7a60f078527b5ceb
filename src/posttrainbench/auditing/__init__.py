"""Auditing: what a run left -> findings -> a verdict. Pure functions."""
