"""Prints what a recording has, and goes on while it is being written.

    /usr/bin/python3 client/examples/follow_recording.py run.h5 sensor.temperature

Needs Debian's python3-h5py. Ends when the channel's recording has ended.
"""

import sys
import time

import h5py


def follow(path, channel, pause_s=0.1):
    """Yields (row of `slots`, its records) for every slot that there is or comes."""
    with h5py.File(path, "r", swmr=True) as file:
        group = file[channel]
        slots, records, gaps = group["slots"], group["records"], group["gaps"]
        kinds = h5py.check_enum_dtype(gaps.dtype["kind"])
        goes_on = {kinds["missed"], kinds["corrupt"]}
        done = 0
        while True:
            # The end is written after all slots: whoever sees it first, and then looks for slots, has them all.
            gaps.refresh()
            ended = len(gaps) > 0 and gaps[-1]["kind"] not in goes_on
            slots.refresh()
            records.refresh()
            for slot in slots[done:]:
                first = int(slot["first_record"])
                yield slot, records[first:first + int(slot["payload_bytes"]) // records.dtype.itemsize]
                done += 1
            if ended:
                return
            time.sleep(pause_s)


if __name__ == "__main__":
    for row, its_records in follow(sys.argv[1], sys.argv[2]):
        print(row["sequence"], row["timestamp_ns"], its_records)
