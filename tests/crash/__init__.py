"""The promise kept with real processes: killed, stopped, emptied, and all is well in the end."""
