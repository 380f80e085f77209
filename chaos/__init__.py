"""The program at work while everything around it and in it dies, and what became of each job."""
