"""The threads beside the UI thread: they read, act and answer, and post messages."""
