"""The promises of Skadi, each with the test that keeps it."""
