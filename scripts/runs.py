"""List every requested run: python scripts/runs.py --sort test.auroc"""

from respcam.cli.runs import main

if __name__ == "__main__":
    main()
