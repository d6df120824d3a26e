"""A rank of two: the first does something alone for longer than a rank waits in an exchange."""

import sys
import time

import torch

from codekiln.parallel.world import joined

with joined(torch.device("cpu"), timeout_minutes=2 / 60) as ranks:
    if ranks.first:
        time.sleep(float(sys.argv[1]))
    if sys.argv[2] == "patient":
        ranks.wait_for_first()
    else:
        ranks.wait()
    print(f"together {ranks.sums(1.0)}", flush=True)
