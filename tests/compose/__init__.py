"""The real images under a real Docker engine. A package, so that its stack ends with the last of its tests."""
