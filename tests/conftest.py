"""Shared by every room of tests: nothing of the developer's environment reaches them."""
