"""What is true: accounts, agents, jobs, events, and who must still be told."""
