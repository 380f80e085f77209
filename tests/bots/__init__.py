"""What people type and what they read, tried as they would."""
