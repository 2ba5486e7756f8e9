"""Machinery without meaning: the log, its relay, feed and consumer. It knows no event by name."""
