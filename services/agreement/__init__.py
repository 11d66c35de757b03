"""Do our clients read the same from an engine as vLLM's own benchmark, and if not, why? `cutover bench --agree`."""
