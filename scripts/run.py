"""Run the stages of one experiment: python scripts/run.py dataset=sprsound2022 dataset.root=DIR"""

from respcam.cli.run import main

if __name__ == "__main__":
    main()
