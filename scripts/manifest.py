"""Make a manifest or check a folder against one: python scripts/manifest.py --help"""

from respcam.cli.manifest import main

if __name__ == "__main__":
    main()
