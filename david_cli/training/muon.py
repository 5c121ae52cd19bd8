"""Muon: kernels move by the nearest orthogonal matrix to their momentum, all else by Adam.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the step's scale,
with which one learning rate fits both kinds, is that of Liu et al., "Muon is Scalable for LLM
Training" (2025), section 2.2. A 3x3 kernel is the matrix (channels out, 9 channels in).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
ADAM_SCALE = 0.2
"""Root mean square of Adam's steps, in learning rates: what a kernel's step is scaled to."""
ITERATIONS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz iteration: singular values come close to 1, not to it."""
_OUTPUT_LAYERS = ("last", "F6_2")
"""What gives pictures and maps: it starts from zero, and its size is no matter of convention."""


class Muon(torch.optim.AdamW):
    """An optimizer for whole networks.

    State: ``momentum`` for each kernel of a hidden layer; Adam's for biases, norms and the layers
    that give pictures or maps.

    Args:
        parameters: by name, as in the network.
        lr: of both.
        betas: Adam's.
        weight_decay: Adam's, and the kernels' likewise: decoupled from the gradient.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        lr: float,
        betas: tuple[float, float],
        weight_decay: float = 0.0,
    ):
        hidden = [p for name, p in parameters.items() if is_hidden_kernel(name, p)]
        others = [p for name, p in parameters.items() if not is_hidden_kernel(name, p)]
        groups = [{"params": params, "hidden": params is hidden} for params in (hidden, others)]
        # not fused: a fused step hides float16's overflows from the kernels
        super().__init__([g for g in groups if g["params"]], lr, betas, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step. The gradients of hidden kernels are gone afterwards."""
        assert closure is None, "the gradients are to be there already"
        for group in self.param_groups:
            if group["hidden"]:
                self._move_kernels(group)
        super().step()  # passes over parameters without gradient

    def _move_kernels(self, group: dict[str, Any]) -> None:
        """Kernels of one shape at once: a network has few shapes, and many kernels of each."""
        alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None:
                alike[parameter.shape].append(parameter)
        for kernels in alike.values():
            steps = orthogonal(torch.stack(self._followed(kernels)).flatten(2))
            scale = ADAM_SCALE * max(steps.shape[-2:]) ** 0.5
            torch._foreach_mul_(kernels, 1 - group["lr"] * group["weight_decay"])
            shaped = steps.view(-1, *kernels[0].shape).unbind()
            torch._foreach_add_(kernels, shaped, alpha=-group["lr"] * scale)

    def _followed(self, kernels: list[Tensor]) -> tuple[Tensor, ...]:
        """Nesterov's look ahead along the moving averages of gradients, which they take up."""
        gradients = [kernel.grad for kernel in kernels if kernel.grad is not None]
        momenta = []
        for kernel in kernels:
            state = self.state[kernel]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(kernel)
            momenta.append(state["momentum"])
            kernel.grad = None
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        found: tuple[Tensor, ...] = torch._foreach_lerp(gradients, momenta, MOMENTUM)
        return found


def is_hidden_kernel(name: str, parameter: Tensor) -> bool:
    """Whether it is a convolution's weight in the midst of a network."""
    return parameter.ndim == 4 and not any(part in _OUTPUT_LAYERS for part in name.split("."))


def orthogonal(matrices: Tensor) -> Tensor:
    """Nearly the nearest (semi-)orthogonal matrices, by Newton-Schulz iteration.

    Args:
        matrices: (K, R, C), of any scale.

    Returns:
        (K, R, C), the same singular vectors with singular values of 0.7 to 1.2.
    """
    a, b, c = _QUINTIC
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    # x becomes (a + b G + c G G) x again and again, with G = x x^T: of that only G is followed,
    # which is small, and what x is to be multiplied with in the end
    gram = x @ x.mT
    product = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    for _ in range(ITERATIONS):
        factor = torch.baddbmm(b * gram, gram, gram, alpha=c)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        product = factor @ product
        gram = factor @ gram @ factor
    found: Tensor = product @ x
    return found if wide else found.mT
