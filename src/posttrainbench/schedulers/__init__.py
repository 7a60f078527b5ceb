"""Schedulers: ways to put runs on machines. One file each."""
