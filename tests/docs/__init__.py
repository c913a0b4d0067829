"""The documents against the program: every command they show is run."""
