"""Make a run again and say which figures are the same: python scripts/rerun.py outputs/runs/RUN"""

from respcam.cli.rerun import main

if __name__ == "__main__":
    main()
