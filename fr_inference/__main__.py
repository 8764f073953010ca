"""`python -m fr_inference PROGRAM --flags`: the command `fr-inference`, wherever Python is found."""

from fr_inference import console

if __name__ == '__main__':
    console.main()
