"""Tables of codes that training learns, one row per head or per scan: only the rows that a step touches move."""

from __future__ import annotations

import torch
import torch.distributed as dist

from headfield.train import checkpoint


class CodeTable:
    """Codes in training, with the optimiser of their own.

    Args:
        name: What checkpoints call it.
        values: (C, D) codes that it begins with.
        rate: Learning rate.
        learned: Whether they move.
        prefix: What the optimiser's state is stored under.
    Attributes:
        values: (C, D) the codes.
    """

    def __init__(self, name: str, values: torch.Tensor, rate: float, *, learned: bool = True, prefix: str):
        self.name, self.prefix = name, prefix
        self.values = torch.nn.Parameter(values, requires_grad=learned)
        self.optimiser = torch.optim.SparseAdam([self.values], lr=rate)
        self._taken: list[tuple[torch.Tensor, torch.Tensor]] = []

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """Codes (B, D) of some rows (B,), whose gradients the next :meth:`step` uses."""
        leaf = self.values.detach()[rows].requires_grad_(self.values.requires_grad)
        self._taken.append((rows, leaf))
        return leaf

    def step(self, rate: float, processes: int = 1) -> None:
        """One step of the optimiser on all rows that were taken since the last one, by any process."""
        taken, self._taken = self._taken, []
        if not self.values.requires_grad:
            return
        rows = torch.cat([row for row, _ in taken]) if taken else torch.zeros(0, dtype=torch.long)
        gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for _, leaf in taken]
        gradient = torch.cat(gradients) if taken else torch.zeros(0, self.values.shape[1])
        if processes > 1:
            rows, gradient = _of_all(rows, gradient, processes, self.values.device)
        if not len(rows):  # the moments of rows that no step touches stay
            return
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        # a code's gradient is the mean over heads, so its size would fall with the batch; Adam does not mind
        self.values.grad = torch.sparse_coo_tensor(rows[None], gradient, self.values.shape, check_invariants=False)
        self.optimiser.step()

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint holds of it."""
        state = checkpoint.optimiser_tensors(self.optimiser, [self.name])
        return {self.name: self.values} | {f"{self.prefix}/{name}": value for name, value in state.items()}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put back what :meth:`tensors` gave."""
        self.values.data = tensors[self.name].to(self.values)
        checkpoint.restore_optimiser(self.optimiser, [self.name], tensors, f"{self.prefix}/")


def _of_all(rows: torch.Tensor, gradient: torch.Tensor, processes: int, device) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and gradients of all processes; the gradients averaged."""
    gathered: list = [None] * processes
    dist.all_gather_object(gathered, (rows.cpu(), gradient.cpu()))
    return (
        torch.cat([one for one, _ in gathered]).to(device),
        torch.cat([one for _, one in gathered]).to(device) / processes,
    )
