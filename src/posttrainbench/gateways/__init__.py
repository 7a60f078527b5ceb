"""Gateways: the only way out of an agent's sandbox."""
