"""Training and sampling speed beside Hugging Face's Llama of the same size, in the same run.

    python bench/llama.py --peer PYTHON [--rows 2] [--steps 20] [--rounds 3] [--tokens 256]

PYTHON is that of an environment with the same torch and with transformers:

    python -m venv .peers/llama && .peers/llama/bin/pip install torch==2.13.0 transformers==5.23.0

Both have 4 layers of width 256 with 8 heads and the same number of weights in each (Llama's gated feed-forward is 683
wide then, ours 1,024), the same vocabulary, random weights, and run in one thread. Training: `--rows` windows of 512
random tokens, the gradients of all and a step of AdamW, dropout 0.2 in ours (Llama has none outside its attention);
the median of `--steps` steps after three. Sampling: one line grows to `--tokens` tokens with the nucleus p = .97; ours
keeps to its grammar on the way; the best of three. Figures are tokens a second of processor time; processes of ours
and of the peer alternate, `--rounds` times, and the best of each counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

VOCABULARY, CONTEXT = 938, 512  # the size of `generator.data.vocabulary.VOCABULARY`, which the peer cannot read
PRECISIONS = ("float32", "bfloat16")


def ours() -> tuple[Any, Callable[[torch.Tensor], torch.Tensor], Callable[[int], int]]:
    """Return our model, its loss, and what grows a line and tells its tokens."""
    from bench.sampling import grow
    from generator.network.model import SIZES, Transformer
    from generator.training.objective import cross_entropy

    model = Transformer(SIZES["tiny"])
    return (
        model,
        lambda rows: cross_entropy(model(rows[:, :-1]), rows, "mean"),
        lambda tokens: grow(model, 1, tokens, 0),
    )


def llama() -> tuple[Any, Callable[[torch.Tensor], torch.Tensor], Callable[[int], int]]:
    """Do the same for the peer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=683,
        num_hidden_layers=4,
        num_attention_heads=8,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
        eos_token_id=None,
        bos_token_id=1,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)

    def grow(tokens: int) -> int:
        start = torch.ones((1, 1), dtype=torch.long)
        line = model.generate(start, do_sample=True, top_p=0.97, top_k=0, min_new_tokens=tokens, max_new_tokens=tokens)
        return int(line.shape[1] - 1)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        logits = model(rows[:, :-1]).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())

    return model, loss, grow


def measure(who: str, rows: int, steps: int, tokens: int) -> dict[str, float]:
    """Measure one of the two in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, loss_of, grow = ours() if who == "ours" else llama()
    found = {"weights": float(sum(p.numel() for p in model.parameters()))}
    with torch.inference_mode():
        model.eval()
        grow(16)
        found["sampling"] = max(rate(lambda: grow(tokens)) for _ in range(3))
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for precision in PRECISIONS:

        def step(precision: str = precision) -> int:
            batch = torch.randint(1, VOCABULARY, (rows, CONTEXT + 1))
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                loss = loss_of(batch)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            return rows * CONTEXT

        rates = [rate(step) for _ in range(steps + 3)][3:]
        found[f"training, {precision}"] = median(rates)
    return found


def rate(work: Callable[[], int]) -> float:
    start = time.process_time()
    return work() / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--who", choices=["ours", "llama"], help="measure one alone, and print JSON")
    given = parser.parse_args()
    if given.who:
        print(json.dumps(measure(given.who, given.rows, given.steps, given.tokens)))
        return
    if not given.peer:
        parser.error("--peer: name the Python of the peer's environment")
    found: dict[str, list[dict[str, float]]] = {"ours": [], "llama": []}
    how = [f"--{name}={getattr(given, name)}" for name in ("rows", "steps", "tokens")]
    for _ in range(given.rounds):
        for who, python in (("ours", sys.executable), ("llama", given.peer)):
            command = [str(python), __file__, "--who", who, *how]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[who].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{'':22}{'ours':>12}{'Llama':>12}{'ratio':>8}")
    for name in found["ours"][0]:
        best = [max(one[name] for one in found[who]) for who in ("ours", "llama")]
        print(f"{name:22}{best[0]:>12,.0f}{best[1]:>12,.0f}{best[0] / best[1]:>8.2f}")


if __name__ == "__main__":
    main()
