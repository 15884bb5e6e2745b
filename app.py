"""Starts the demo on http://127.0.0.1:7860 (or as a Hugging Face Space)."""

import os

from demo.checks import port

if __name__ == "__main__":
    named = port(os.environ.pop("GRADIO_SERVER_PORT", ""))  # Gradio would read it, and pass over a taken one

    from demo.ui import serve

    serve(named)
