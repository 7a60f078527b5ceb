"""Suites as data: one TOML file each, and the reader that turns them into nouns."""

from posttrainbench.suites.loading import load_suite, suite_names

__all__ = ["load_suite", "suite_names"]
