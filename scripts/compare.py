"""Compare the arms of an experiment: python scripts/compare.py outputs/runs/*"""

from respcam.cli.compare import main

if __name__ == "__main__":
    main()
