"""Memory does not grow with the number of images."""

import json
import subprocess
import sys

PROGRAM = """
import json, resource, sys
from fr_inference.data import sources
from fr_inference.measuring import measurements
from tests.experiments import targets

faces = sources.open_faces(sys.argv[1])
target = targets.target_of(0)  # the images count, not the network
peaks, counts = [], []
for part in (faces.select(range(0, len(faces), 10)), faces):
    counts.append(len(measurements.measure(target, part)))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(json.dumps({'counts': counts, 'peaks': peaks}))
"""


def test_scoring_ten_times_the_images_takes_no_more_memory(shared):
    """Peak resident memory of 11,700 real images is within 300 MB of that of a tenth of them.

    One process does both, the tenth first: its peak can only grow.
    """
    folder = str(shared / 'data' / 'lfw112')
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, folder], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found['counts'] == [1170, 11700]
    tenth, whole = found['peaks']
    # Held at once, the images alone at 112 x 112 would take 420 MB.
    assert whole - tenth < 300, f'{tenth:.0f} MB for a tenth, {whole:.0f} MB for all'
