"`python -m acgan_nb`: the command line. Kept by hand."

from acgan_nb.cli import main

if __name__ == "__main__":
    main(prog_name="acgan")
