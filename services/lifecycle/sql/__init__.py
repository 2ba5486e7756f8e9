"""SQL of lifecycle's reads, one statement a file."""
