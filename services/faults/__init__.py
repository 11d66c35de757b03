"""Faults as a product: a catalogue of misbehaving engines, played against our client and against its peers."""
