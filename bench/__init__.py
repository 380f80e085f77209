"""What Skadi can carry: load from outside, over HTTP, against the databases it is run with."""
