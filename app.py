"""Starts the demo on http://127.0.0.1:7860 (or as a Hugging Face Space)."""

import argparse
import os

from demo.checks import port

if __name__ == "__main__":
    about = "Without arguments: the port is $GRADIO_SERVER_PORT, else the first free one from 7860 on."
    argparse.ArgumentParser(description=__doc__, epilog=about).parse_args()
    named = port(os.environ.pop("GRADIO_SERVER_PORT", ""))  # Gradio would read it, and pass over a taken one

    from demo.ui import serve

    serve(named)
