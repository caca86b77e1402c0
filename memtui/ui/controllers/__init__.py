"""What the main screen does, a job each. A controller holds the state of its job; the screen composes."""
