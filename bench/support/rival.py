"""What a Python rival needs: its inputs, and the conversation with the harness (see process.ts)."""

import sys
import time

import numpy

arguments = [int(text) for text in sys.argv[2:]]


def load(name, dtype=numpy.float32):
    """The raw array of that name."""
    return numpy.fromfile(f"{sys.argv[1]}/{name}", dtype)


def serve(run, output):
    """Answers the harness until it hangs up; output() is the result of the last run as a NumPy array."""
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "time":
            start = time.perf_counter()
            for _ in range(int(rest[0])):
                run()
            print((time.perf_counter() - start) * 1e3, flush=True)
        else:
            run()
            result = numpy.ascontiguousarray(output())
            result.tofile(f"{sys.argv[1]}/output")
            print("output", result.dtype, flush=True)
