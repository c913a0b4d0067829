"""`python -m runner`: the same as the console script."""

from runner.cli import main

main()
