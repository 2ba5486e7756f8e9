"""Proves that store, topic and read models tell the same story; each module compares one of them and names every difference."""
