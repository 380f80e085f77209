"""The door for agents, upstream systems and programs. It parses, asks core once, and answers."""
