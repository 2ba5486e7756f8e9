-- expand. Locks: short, on generation. What a generation was made with: its tables, and everything else its rows depend on.

ALTER TABLE generation ADD COLUMN fingerprint text NOT NULL DEFAULT '';
