"""The browser: the only code that imports gradio."""
