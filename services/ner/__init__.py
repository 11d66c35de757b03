"""NER: finds the people, organisations, places and products that a text names, each at its place in the text."""
