"""What is true, and stays true whatever happens around it."""
