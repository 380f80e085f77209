"""The program at a terminal: the process, its first minute, and the commands of the operator."""
