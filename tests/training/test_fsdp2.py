"""Two real processes, the objective sharded by FSDP2, against one process with the same global batch."""

import socket
import subprocess
import sys

import pytest

CODE = """
import os, sys
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
import overfocus as of

rank, world = int(sys.argv[1]), int(sys.argv[2])
torch.manual_seed(0)
model = of.create_model("overfocus_cnn", 5, widths=[4, 8], norm="group")
objective = of.Objective(model, of.parse(sys.argv[4]), seed=1)
if world > 1:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=sys.argv[3], RANK=str(rank), WORLD_SIZE=str(world))
    dist.init_process_group("gloo")
    fully_shard(objective, mesh=init_device_mesh("cpu", (world,)))
    assert all(type(each).__name__ == "DTensor" for each in objective.parameters())
images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(2))
labels, rows = torch.arange(8) % 5, 8 // world
part = slice(rank * rows, (rank + 1) * rows)
update = torch.optim.SGD(objective.parameters(), lr=0.1)
for _ in range(4):
    loss = objective(images[part], labels[part])
    loss.backward()
    update.step()
    update.zero_grad()
    loss = loss.detach()
    if world > 1:
        dist.all_reduce(loss)
    print(float(loss) / world)
"""


def losses(world, method):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, str(rank), str(world), str(port), method],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(world)
    ]  # fmt: skip
    said = [each.communicate(timeout=120) for each in both]
    assert [each.returncode for each in both] == [0] * world, said
    return [float(line) for line in said[0][0].split()]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["plain", "cutout(size=4) + sgdrop(prob=1.0)"])
def test_a_sharded_objective_has_the_losses_of_the_whole(method):
    found, expected = losses(2, method), losses(1, method)
    assert len(set(expected)) == 4
    assert found == pytest.approx(expected, abs=2e-4)
