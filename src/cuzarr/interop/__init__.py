"""Other libraries, one module each; every module imports its library."""
