"""hermes-tiny: how the small Hermes model shipped with the runner is made and measured.

`held_out` and everything it imports need only the standard library and jinja2;
torch, tokenizers and gguf are needed by training and export alone.
"""
