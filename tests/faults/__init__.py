"""The rows of the fault table that no other room tests, each done to the real thing."""
