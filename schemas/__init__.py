"""The published language: events, envelope, codec, and the fold of a lead. No I/O, no clock, no randomness."""
