"""What runs in an environment of its own beside the services: a driver for each peer, which imports nothing of ours."""
