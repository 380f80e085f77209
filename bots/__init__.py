"""The words: those that people use, and those we answer with."""
