"""The parent's side of local inference: child processes, what is loaded, and the local backend."""
