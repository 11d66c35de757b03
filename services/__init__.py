"""Cutover: moves services from Ollama to vLLM, one at a time."""
