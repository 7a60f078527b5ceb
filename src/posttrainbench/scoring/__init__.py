"""Answers to scores: pure rules, and the statistics that sum them up."""
