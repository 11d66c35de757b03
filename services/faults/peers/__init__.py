"""What runs in the peers' own environment: `driver.py`, which imports nothing of ours."""
