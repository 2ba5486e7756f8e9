"""SQL, one statement or function a file; the header of each says purpose, parameters, returns, cost and locks."""
