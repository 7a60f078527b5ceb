"""Graders: LLMs that score open-ended answers inside a benchmark."""
