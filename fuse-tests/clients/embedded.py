"""What the Python clients share: the command line, acknowledgements, and what a record holds.

The protocol is described in fuse-tests/src/databases/client.rs.
"""

import random
import sys

# After so many records a writer looks at everything, beside the other writers.
LOOK_EVERY = 64


def text_of(number):
    """What record `number` holds."""
    return random.Random(number).randbytes(1 + number * 7919 % 1000).hex()


def acknowledge(kind, number):
    print(kind, number, flush=True)


def fail(message):
    sys.exit(message)


def main(commands):
    """Runs `COMMAND FOLDER MODE [ARGUMENT...]`."""
    command, *arguments = sys.argv[1:]
    commands[command](*arguments)
