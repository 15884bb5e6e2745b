"""Generate: pick a digit and a policy, see its samples with their rewards, and watch one being drawn."""

from __future__ import annotations

import json

import gradio as gr

from demo.engine import LARGEST_SEED, MOST_SAMPLES, POLICIES, Engine, RequestError
from demo.player import player


def generate_tab(engine: Engine, page: gr.Blocks) -> None:
    """Lay the tab out inside the current Blocks context; its first samples are drawn when the page loads."""
    known = engine.policies()

    def draw(policy: str, digit: str, temperature: float, seed: float, count: float) -> dict:
        """Draw samples of a digit with one of the shipped policies.

        Args:
            policy: "random", "unlabelled", "labelled", "steer/reinforce", "steer/grpo", "refine/reinforce" or "refine/grpo".
            digit: "0" to "9".
            temperature: 0.25 to 2; 1 is the policy itself.
            seed: 0 to 2147483647; the same request gives the same samples.
            count: 1 to 64 samples.

        Returns:
            JSON text: tokens (base64, one byte a pixel), rewards, what the judge reads, and NLL in nats, for each sample.
        """
        try:
            return json.dumps(engine.generate(policy, _digit(digit), temperature, seed, count))
        except RequestError as error:
            raise gr.Error(str(error)) from error

    with gr.Row():
        digits = [str(k) for k in range(10)]
        digit = gr.Radio(digits, value="7", label="Target digit", scale=3, min_width=280, elem_id="digit")
        policy = gr.Dropdown(
            [(POLICIES[name], name) for name in known],
            value="steer/grpo" if "steer/grpo" in known else known[-1],
            label="Policy",
            scale=1,
            min_width=280,
            elem_id="policy",
        )
    with gr.Row():
        temperature = gr.Slider(0.25, 2.0, value=1.0, step=0.05, label="Temperature", min_width=280, elem_id="temperature")
        count = gr.Slider(1, MOST_SAMPLES, value=24, step=1, label="Samples", min_width=280, elem_id="count")
        seed = gr.Number(0, label="Seed", min_width=140, elem_id="seed")  # checked by the engine, which says what is allowed
        button = gr.Button("Draw again", variant="primary", min_width=140, elem_id="draw")
    screen = player("generate-player")
    inputs = [policy, digit, temperature, seed, count]
    page.load(draw, inputs, screen, api_name="generate", concurrency_id="model", show_progress="hidden")
    for control in (digit, policy):
        control.input(draw, inputs, screen, api_name=False, concurrency_id="model", show_progress="hidden")
    for slider in (temperature, count):
        slider.release(draw, inputs, screen, api_name=False, concurrency_id="model", show_progress="hidden")
    seed.submit(draw, inputs, screen, api_name=False, concurrency_id="model", show_progress="hidden")
    again = button.click(_next_seed, seed, seed, api_name=False)
    again.then(draw, inputs, screen, api_name=False, concurrency_id="model", show_progress="hidden")


def _digit(text) -> int:
    return int(text) if isinstance(text, str) and text.isdecimal() else text


def _next_seed(seed) -> int:
    return int(seed) + 1 if isinstance(seed, (int, float)) and 0 <= seed < LARGEST_SEED else 0
