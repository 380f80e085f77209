"""The door, tried over real sockets."""
