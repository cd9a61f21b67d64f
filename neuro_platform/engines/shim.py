"""The supervisor of one task: started as ``python -I -S shim.py FOLDER [FILES]``, it outlives whoever started it.

It holds a lock on ``FOLDER/lock`` for life, so that anybody can ask whether it lives. It reads what to run from
``FOLDER/task``, is the only parent of the program, serves clients on a UNIX socket, ends whatever the program leaves
behind, and writes the exit record before anyone is told. Being one process for every running task it imports little.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # isolated, Python looks nowhere near this file by itself; and all that is in the modules it need not compile
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from neuro_platform.engines.supervisor.main import main

    main(*sys.argv[1:])
