"""One training step of each benchmark model in PyTorch: reads a model's name per line, answers with the milliseconds of one step."""
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self, width, heads, inner):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(self.first(x)).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.second(x))))


class Transformer(nn.Module):
    def __init__(self, vocabulary, width, heads, inner, layers):
        super().__init__()
        self.table = nn.Embedding(vocabulary, width)
        self.blocks = nn.Sequential(*[Block(width, heads, inner) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, ids):
        return self.head(self.norm(self.blocks(self.table(ids)))).flatten(0, 1)


class Llama(nn.Module):
    def __init__(self, vocabulary, width, heads, groups, inner, layers):
        super().__init__()
        self.heads, self.groups, self.size = heads, groups, width // heads
        self.table = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList()
        for _ in range(layers):
            kv = groups * self.size
            self.layers.append(nn.ModuleDict({
                "a": nn.RMSNorm(width), "b": nn.RMSNorm(width), "q": nn.Linear(width, width, False), "k": nn.Linear(width, kv, False),
                "v": nn.Linear(width, kv, False), "o": nn.Linear(width, width, False), "gate": nn.Linear(width, inner, False),
                "up": nn.Linear(width, inner, False), "down": nn.Linear(inner, width, False)}))
        self.norm = nn.RMSNorm(width)

    def rotate(self, x, cos, sin):
        first, second = x.chunk(2, -1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    def forward(self, ids):
        x = self.table(ids)
        batch, length, width = x.shape
        angles = torch.outer(torch.arange(length).float(), 10000.0 ** (-torch.arange(0, self.size, 2).float() / self.size))
        cos, sin = angles.cos(), angles.sin()
        for layer in self.layers:
            h = layer["a"](x)
            q = self.rotate(layer["q"](h).view(batch, length, self.heads, -1).transpose(1, 2), cos, sin)
            k = self.rotate(layer["k"](h).view(batch, length, self.groups, -1).transpose(1, 2), cos, sin)
            v = layer["v"](h).view(batch, length, self.groups, -1).transpose(1, 2)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            x = x + layer["o"](mixed.transpose(1, 2).reshape(batch, length, width))
            h = layer["b"](x)
            x = x + layer["down"](F.silu(layer["gate"](h)) * layer["up"](h))
        return (self.norm(x) @ self.table.weight.T).flatten(0, 1)


def resnet20():
    def basic(from_, to, stride):
        class Basic(nn.Module):
            def __init__(self):
                super().__init__()
                self.c1, self.b1 = nn.Conv2d(from_, to, 3, stride, 1, bias=False), nn.BatchNorm2d(to)
                self.c2, self.b2 = nn.Conv2d(to, to, 3, 1, 1, bias=False), nn.BatchNorm2d(to)

            def forward(self, x):
                y = self.b2(self.c2(F.relu(self.b1(self.c1(x)))))
                if from_ != to:
                    x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, (to - from_) // 2, (to - from_) // 2))
                return F.relu(x + y)
        return Basic()
    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    width = 16
    for to in (16, 32, 64):
        for i in range(3):
            layers.append(basic(width, to, 2 if to != width else 1))
            width = to
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def classes(rows, count):
    return torch.arange(rows) % count


def make(name):
    if name == "mlp":
        return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10)), torch.randn(128, 784), classes(128, 10)
    if name == "cnn":
        return nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 14 * 14, 10)), torch.randn(32, 1, 28, 28), classes(32, 10)
    if name == "transformer":
        return Transformer(256, 128, 4, 512, 4), classes(8 * 64, 256).view(8, 64), classes(8 * 64, 256)
    if name == "resnet20":
        return resnet20(), torch.randn(64, 3, 32, 32), classes(64, 10)
    return Llama(512, 256, 8, 4, 704, 5), classes(8 * 256, 512).view(8, 256), classes(8 * 256, 512)


ready = {}
for line in sys.stdin:
    name = line.strip()
    if name not in ready:
        model, x, y = make(name)
        ready[name] = (model.train(), x, y, torch.optim.SGD(model.parameters(), 0.01))
    model, x, y, optimizer = ready[name]
    start = time.perf_counter()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    print(1000 * (time.perf_counter() - start), sum(p.numel() for p in model.parameters()), flush=True)
