"""Agents: who works on a task inside a sandbox."""
