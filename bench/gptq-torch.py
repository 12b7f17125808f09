"""GPTQ (Frantar et al. 2022, algorithm 1) in PyTorch, blocks of 128 columns: gptq-torch.py FOLDER SIZE THREADS ORDER GROUP QMAX.

FOLDER holds weight.bin, hessian.bin and weights as fewbit rounded them, fewbit.bin, float32 [size, size]. Prints, as JSON,
seconds by the clock and of the processors, and the output errors tr(E·H·Eᵀ) of both roundings.
"""
import json
import resource
import sys
import time

import numpy
import torch


def processor_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def scales_of(weight, qmax):
    scale = weight.abs().amax(dim=1, keepdim=True) / qmax
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def factor(hessian, order):
    size = hessian.shape[0]
    permutation = torch.arange(size)
    damping = 0.01 * hessian.diagonal().mean()
    if order == "activation":
        permutation = torch.argsort(hessian.diagonal(), descending=True)
        hessian = hessian[permutation][:, permutation]
    hessian = hessian.clone()
    hessian.diagonal().add_(damping)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    return torch.linalg.cholesky(inverse, upper=True), permutation


def sweep(weight, upper, permutation, order, group, qmax, block=128):
    size = weight.shape[1]
    scale = None
    if order == "activation":
        before = torch.cat([scales_of(part, qmax) for part in weight.split(group, dim=1)], dim=1)
        scale = before[:, permutation // group]
        weight = weight[:, permutation]
    weight = weight.clone()
    rounded = torch.empty_like(weight)
    for begin in range(0, size, block):
        end = min(begin + block, size)
        part = weight[:, begin:end].clone()
        errors = torch.empty_like(part)
        local = upper[begin:end, begin:end]
        for i in range(end - begin):
            column = begin + i
            if order == "natural" and column % group == 0:
                # What the columns before the group and those of this block have left behind.
                current = scales_of(torch.cat([part[:, i:], weight[:, end:column + group]], dim=1), qmax)
            step = current[:, 0] if order == "natural" else scale[:, column]
            w = part[:, i]
            q = torch.clamp(torch.round(w / step), -qmax, qmax) * step
            rounded[:, column] = q
            error = (w - q) / local[i, i]
            part[:, i:] -= error.unsqueeze(1) * local[i, i:].unsqueeze(0)
            errors[:, i] = error
        weight[:, end:] -= errors @ upper[begin:end, end:]
    if order == "activation":
        rounded = rounded[:, torch.argsort(permutation)]
    return rounded


folder, size, threads, order, group, qmax = sys.argv[1], *map(int, sys.argv[2:4]), sys.argv[4], *map(int, sys.argv[5:7])
torch.set_num_threads(threads)
torch.set_grad_enabled(False)
read = lambda name: torch.from_numpy(numpy.fromfile(f"{folder}/{name}", dtype=numpy.float32).reshape(size, size))
weight, hessian = read("weight.bin"), read("hessian.bin")
# Threads and libraries start before the clock does.
torch.linalg.cholesky(hessian[:256, :256] + torch.eye(256)) @ hessian[:256, :256]
before, start = processor_seconds(), time.perf_counter()
upper, permutation = factor(hessian, order)
factored = time.perf_counter() - start
rounded = sweep(weight, upper, permutation, order, group, qmax)
seconds = time.perf_counter() - start
cpu = processor_seconds() - before
output_error = lambda other: float((((other - weight) @ hessian) * (other - weight)).sum())
print(json.dumps({
    "version": torch.__version__, "factor": factored, "seconds": seconds, "cpu": cpu,
    "ourError": output_error(read("fewbit.bin")), "error": output_error(rounded),
}))
