"""The child process: `python -m runner.engine.child FD`. Enters its cell, then becomes an engine.

Imports the engine only inside the cell, so that no thread of a library is left outside it.
"""

from .cell import enter

if __name__ == "__main__":
    enter()
    from .worker import main

    main()
