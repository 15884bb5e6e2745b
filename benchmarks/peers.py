"""The peers: Hugging Face models in the shape of our policies, and the course guide's own sampler."""

from collections.abc import Iterator

import torch
from torch import nn

from core.lstm import LSTMPolicy
from core.policies import LABELS, Policy
from core.transformer import EPS, TransformerPolicy


def stock(policy: Policy):
    """An untrained model of transformers: a Llama of a transformer's shape, a GPT-2 of about an LSTM's size.

    Its vocabulary is the policy's tokens, then a token for each label, then one that ends and pads.
    """
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    length, end = policy.tokenizer.length, policy.tokenizer.vocabulary + LABELS
    words = {"vocab_size": end + 1, "bos_token_id": None, "eos_token_id": end, "pad_token_id": end}
    if isinstance(policy, LSTMPolicy):
        width = policy.width * 2 // 3
        shape = {"n_embd": width, "n_layer": 4, "n_head": 4, "n_positions": length + 1}
        return GPT2LMHeadModel(GPT2Config(**words, **shape, tie_word_embeddings=False))
    config = LlamaConfig(
        **words,
        hidden_size=policy.start.numel(),
        intermediate_size=policy.blocks[0].down.in_features,
        num_hidden_layers=len(policy.blocks),
        num_attention_heads=policy.blocks[0].heads,
        max_position_embeddings=length + 1,
        rms_norm_eps=EPS,
        attention_bias=True,
        mlp_bias=True,
    )
    return LlamaForCausalLM(config)


def fit(model, policy: Policy):
    """Let a model of ``stock`` draw the policy's tokens alone; a Llama then has the policy's distribution."""
    if isinstance(policy, TransformerPolicy):
        copy_weights(model, policy)
        head = policy.head.weight
    else:
        head = model.lm_head.weight[: policy.tokenizer.vocabulary]
    model.lm_head = nn.Linear(head.shape[1], len(head), bias=False)
    with torch.no_grad():
        model.lm_head.weight.copy_(head)
    return model


@torch.no_grad()
def copy_weights(llama, policy: TransformerPolicy) -> None:
    """All but the head. A label's token starts as the policy's start; what the policy shifts a normalised
    stream by becomes a bias of the matrices that read it. Raises ValueError for a policy that knows labels.
    """
    if not policy.ignores_labels():
        raise ValueError("the policy has learned labels; a Llama has no such inputs.")
    model = llama.model
    model.embed_tokens.weight.copy_(torch.cat([policy.embedding.weight, policy.start.expand(LABELS + 1, -1)]))
    model.norm.weight.copy_(policy.norm.weight)
    model.rotary_emb = GridPositions(policy)
    for layer, block, norms in zip(model.layers, policy.blocks, policy.norms, strict=True):
        attention, mlp = layer.self_attn, layer.mlp
        readers = [
            (layer.input_layernorm, norms[0:2], block.qkv, "q_proj k_proj v_proj", attention),
            (layer.post_attention_layernorm, norms[2:4], block.gate_up, "gate_proj up_proj", mlp),
        ]
        for norm, (scale, shift), ours, names, part in readers:
            norm.weight.copy_(scale)
            theirs = [getattr(part, name) for name in names.split()]
            for matrix, weight in zip(theirs, ours.weight.chunk(len(theirs)), strict=True):
                matrix.weight.copy_(weight)
                matrix.bias.copy_(weight @ shift)
        for matrix, ours in ((attention.o_proj, block.out), (mlp.down_proj, block.down)):
            matrix.weight.copy_(ours.weight)
            matrix.bias.zero_()


class GridPositions(nn.Module):
    """In place of a Llama's rotary positions: the policy's, which carry row and column."""

    def __init__(self, policy: TransformerPolicy):
        super().__init__()
        half = policy.sine.shape[1] // 2
        sine = policy.sine * torch.where(torch.arange(2 * half) < half, -1.0, 1.0)  # Llama's has no sign
        for name, table in (("cosine", policy.cosine), ("sine", sine)):
            table = torch.cat([table, table[-1:]])  # a place more: TRL runs over the last token, and drops it
            self.register_buffer(name, table, persistent=False)

    def forward(self, x, position_ids):
        return self.cosine[position_ids], self.sine[position_ids]


def generate(model, labels: torch.Tensor, length: int, codes: int) -> torch.Tensor:
    """(B,) labels to (B, length) tokens, with transformers' own ``generate`` and its key-value cache."""
    prompts = (codes + labels)[:, None]
    found = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        max_new_tokens=length,
        min_new_tokens=length,
        do_sample=True,
        top_k=0,
        use_cache=True,
    )
    return found[:, 1:]


class Guide(nn.Module):
    """The course guide's policy: two LSTM layers, run again from the start for each pixel."""

    def __init__(self, levels: int, width: int):
        super().__init__()
        self.embedding = nn.Embedding(levels, width)
        self.layers = nn.LSTM(width, width, num_layers=2, batch_first=True)
        self.head = nn.Linear(width, levels)

    @torch.no_grad()
    def generate(self, labels: torch.Tensor, length: int) -> torch.Tensor:
        """(B,) labels, of which it knows nothing, to (B, length) tokens."""
        tokens = torch.zeros(len(labels), 1, dtype=torch.int64)  # it begins with a black pixel
        for _ in range(length):
            states, _ = self.layers(self.embedding(tokens))
            drawn = torch.multinomial(self.head(states[:, -1]).softmax(-1), 1)
            tokens = torch.cat([tokens, drawn], 1)
        return tokens[:, 1:]


def matrices(policy: Policy) -> Iterator[torch.Tensor]:
    """What a policy multiplies its features by to draw one token: no sampler of it can do without."""
    if isinstance(policy, LSTMPolicy):
        for layer in (policy.layer1, policy.layer2):
            yield torch.cat([layer.weight_ih_l0, layer.weight_hh_l0], 1).t()
    else:
        for block in policy.blocks:
            yield from (layer.weight.t() for layer in (block.qkv, block.out, block.gate_up, block.down))
    yield policy.head.weight.t()
