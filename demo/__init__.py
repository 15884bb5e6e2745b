"""The demo, a Gradio app. No other package imports gradio."""
