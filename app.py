"""Starts the demo on http://127.0.0.1:7860 (or as a Hugging Face Space)."""

from demo.ui import serve

if __name__ == "__main__":
    serve()
