"""hermes-runner: Nous Research's Hermes models on this machine, hosted when they do not fit.

Owns only the version. The parts, top to bottom: cli, api and web; services; router, local and
hosted; chat, engine, ledger and metrics; memory; hub, gguf and hardware; catalog; then the ground.
"""

__version__ = "0.1.0"
