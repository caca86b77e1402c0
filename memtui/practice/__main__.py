"""``python -I -m memtui.practice --state-dir DIR``."""

import sys

from memtui.practice.serve import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
