"""The reference agent, against a small server that holds it to the protocol."""
