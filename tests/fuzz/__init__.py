"""Random and hostile input where words from outside are read; each test has a size switch."""
