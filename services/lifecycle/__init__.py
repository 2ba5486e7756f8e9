"""Lifecycle: the door for events, the log they are appended to, and the state of each lead."""
