"""Speed and memory: over numbers of devices, and beside other implementations on one."""
