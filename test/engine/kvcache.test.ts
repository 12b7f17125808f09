/** Blocks of keys and values: the bits of the plain twins, and the attention of float64 over what the blocks hold. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attentionScratch, blockBytes, blockPositions, kvCacheKernels, type BlockAttention, type BlockBits } from '../../src/engine/kernels/kvcache.ts';
import { plainKvCache } from '../../src/engine/kernels/kvcache-plain.ts';
import { f16ToF32 } from '../../src/numeric/half.ts';
import { normal } from '../../src/numeric/random.ts';

const blocks = 3;
const positions = blocks * blockPositions;
const tail = 6;
const place = { query: 1024, keys: 4096, values: 131_072, blocks: 262_144, listed: 390_000, scores: 391_000, scratch: 393_216, out: 400_000 };

/** Keys with loud channels and an offset each, values with an offset per position; one channel and one position constant. */
function filled(width: number): WebAssembly.Memory {
  const memory = new WebAssembly.Memory({ initial: 7 });
  const F = new Float32Array(memory.buffer);
  for (let i = 0; i < width; i++) F[place.query / 4 + i] = normal(1, 0, i);
  for (let p = 0; p < positions + tail; p++) {
    for (let c = 0; c < width; c++) {
      F[place.keys / 4 + p * width + c] = c === 3 ? 0.7 : normal(2, 0, c) * 3 + normal(3, p, c) * (c === 5 ? 6 : 1);
      F[place.values / 4 + p * width + c] = p === 40 ? -0.3 : normal(4, 0, p) + normal(5, p, c);
    }
  }
  new Uint32Array(memory.buffer, place.listed, 2).set([3, 5]);
  return memory;
}

const attention = (width: number, bits: BlockBits, from: number): BlockAttention => ({
  query: place.query, width, scale: 1 / Math.sqrt(width), block: place.blocks, blockStride: blockBytes(width, bits), blocks, from,
  keys: place.keys + 4 * positions * width, values: place.values + 4 * positions * width, stride: 4 * width, first: 0, last: 2, listed: place.listed, more: 2,
  scores: place.scores, scratch: place.scratch, out: place.out,
});

for (const bits of [4, 8] as const) {
  for (const width of [64, 20]) {
    test(`${bits} bits, heads of ${width}: the bits of the plain twin, and the sums of float64`, () => {
      const [fast, plain] = [filled(width), filled(width)];
      for (const [memory, kernels] of [[fast, kvCacheKernels(fast)], [plain, plainKvCache(plain)]] as const) {
        for (let b = 0; b < blocks; b++) kernels.encode(bits, place.keys + b * blockPositions * 4 * width, place.values + b * blockPositions * 4 * width, 4 * width, width, place.blocks + b * blockBytes(width, bits));
        kernels.attend(bits, attention(width, bits, 7));
        // What a head passes through is its own affair.
        new Uint8Array(memory.buffer, place.scores, 4 * (positions + tail)).fill(0);
        new Uint8Array(memory.buffer, place.scratch, attentionScratch(width)).fill(0);
      }
      assert.deepEqual(Buffer.from(fast.buffer), Buffer.from(plain.buffer));
      const { keys, values } = decoded(fast, width, bits);
      const F = new Float32Array(fast.buffer);
      const rows = [...Array.from({ length: positions - 7 }, (_, p) => p + 7), positions, positions + 1, positions + 3, positions + 5];
      const scores = rows.map((p) => Math.exp(Array.from({ length: width }, (_, c) => F[place.query / 4 + c] * keys(p, c)).reduce((a, b) => a + b) / Math.sqrt(width)));
      const sum = scores.reduce((a, b) => a + b);
      for (let c = 0; c < width; c++) {
        const expected = rows.reduce((mixed, p, r) => mixed + (scores[r] / sum) * values(p, c), 0);
        assert.ok(Math.abs(F[place.out / 4 + c] - expected) < 2e-4, `channel ${c}: ${F[place.out / 4 + c]} for ${expected}`);
      }
    });
  }
}

/** Keys and values as blocks hold them, read here by the layout that the kernels describe; later positions are float. */
function decoded(memory: WebAssembly.Memory, width: number, bits: BlockBits) {
  const F = new Float32Array(memory.buffer);
  const B = new Uint8Array(memory.buffer);
  const half = (at: number): number => f16ToF32(B[at] | (B[at + 1] << 8));
  const padded = Math.ceil(width / 32) * 32;
  const codes = blockPositions * padded * bits / 8;
  const block = (p: number): number => place.blocks + Math.floor(p / blockPositions) * blockBytes(width, bits);
  const word = (at: number, n: number): number => ((B[at] | (B[at + 1] << 8)) >> (4 * n)) & 15;
  return {
    keys(p: number, c: number): number {
      if (p >= positions) return F[place.keys / 4 + p * width + c];
      const [at, row] = [block(p), p % blockPositions];
      const code = bits === 8 ? B[at + row * padded + c] : word(at + row * padded / 2 + 16 * Math.floor(c / 32) + 2 * (c % 8), Math.floor(c / 8) % 4);
      return code * half(at + codes + 2 * c) + half(at + codes + 2 * padded + 2 * c);
    },
    values(p: number, c: number): number {
      if (p >= positions) return F[place.values / 4 + p * width + c];
      const [at, row] = [block(p) + codes + 4 * padded, p % blockPositions];
      const pair = row >> 1;
      const code = bits === 8 ? B[at + pair * 2 * padded + 2 * c + row % 2] : word(at + pair * padded + 16 * Math.floor(c / 16) + 4 * (c % 4) + 2 * (row % 2), Math.floor(c / 4) % 4);
      return code * half(at + codes + 2 * row) + half(at + codes + 64 + 2 * row);
    },
  };
}

for (const bits of [4, 8] as const) {
  test(`${bits} bits: every key and value within half a step of its group, and a little for scales in half precision`, () => {
    const width = 64;
    const memory = filled(width);
    const kernels = kvCacheKernels(memory);
    for (let b = 0; b < blocks; b++) kernels.encode(bits, place.keys + b * blockPositions * 4 * width, place.values + b * blockPositions * 4 * width, 4 * width, width, place.blocks + b * blockBytes(width, bits));
    const F = new Float32Array(memory.buffer);
    const { keys, values } = decoded(memory, width, bits);
    const range = (group: readonly number[]): number => Math.max(...group) - Math.min(...group);
    const check = (found: number, x: number, group: readonly number[]): void => assert.ok(Math.abs(found - x) <= 0.51 * range(group) / (2 ** bits - 1) + Math.max(...group.map(Math.abs)) * 2 ** -11 + range(group) * 2 ** -11);
    for (let p = 0; p < positions; p++) {
      for (let c = 0; c < width; c++) {
        const b = p - (p % blockPositions);
        check(keys(p, c), F[place.keys / 4 + p * width + c], Array.from({ length: blockPositions }, (_, i) => F[place.keys / 4 + (b + i) * width + c]));
        check(values(p, c), F[place.values / 4 + p * width + c], [...F.subarray(place.values / 4 + p * width, place.values / 4 + (p + 1) * width)]);
      }
    }
  });
}

test('on shared memory the same bits; values too large for half precision stay finite', () => {
  const [alone, shared] = [filled(32), new WebAssembly.Memory({ initial: 7, maximum: 65_536, shared: true })];
  new Float32Array(alone.buffer)[place.keys / 4 + 9] = 1e9;
  new Uint8Array(shared.buffer).set(new Uint8Array(alone.buffer));
  for (const memory of [alone, shared]) {
    const kernels = kvCacheKernels(memory);
    for (let b = 0; b < blocks; b++) kernels.encode(4, place.keys + b * blockPositions * 128, place.values + b * blockPositions * 128, 128, 32, place.blocks + b * blockBytes(32, 4));
    kernels.attend(4, attention(32, 4, 0));
  }
  assert.deepEqual(Buffer.from(new Uint8Array(shared.buffer).slice()), Buffer.from(alone.buffer));
  assert.ok(new Float32Array(alone.buffer, place.out, 32).every(Number.isFinite));
});
