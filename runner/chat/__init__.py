"""Chat as text: formats and prompts, tool calls, reasoning, constraints and the output parser.

Knows no tokens, no HTTP and no llama.cpp, so hosted output goes through the very same parser.
"""
