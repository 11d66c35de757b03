"""Adapters: each speaks one wire format and translates its library's errors into ours, nothing more."""
