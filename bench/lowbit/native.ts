/** The product with 4-bit weights beside its C twin in 128-bit instructions, where there is a C compiler; both must give the same bits. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inputBytes, lowBitKernels } from '../../src/engine/kernels/lowbit.ts';
import { median } from '../../src/numeric/statistics.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { multiply, packMatrix, takeRounded } from '../../src/runtime/packed-matrix.ts';
import { memoryTensor } from '../../src/tensor-ref.ts';
import { blocks, inputsOf, K, N } from './models.ts';

const source = fileURLToPath(new URL('./native.c', import.meta.url));
/** Both are 128 bits wide; AVX adds instructions with three operands and broadcasting loads, which V8 uses too. */
const builds = { 'SSE4.1': '-msse4.1', 'AVX, 128 bits': '-mavx' } as const;
const each = 41;

export async function nativeLines(rounds: number): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'fewbit-native-'));
  try {
    for (const [i, flag] of Object.values(builds).entries()) {
      const { status } = spawnSync('gcc', ['-O3', flag, '-ffp-contract=off', source, '-o', join(folder, `native${i}`)]);
      if (status !== 0) return ['no native twin: gcc is not here'];
    }
    const arena = new Arena();
    const matrix = await packMatrix(memoryTensor('w', 'q4_0', [N, K], blocks), arena);
    const [x, out] = [arena.take(4 * K), arena.take(4 * N)];
    arena.floats(x, K).set(inputsOf(1));
    // The C twin does what the build without relaxed dot products does.
    const kernels = lowBitKernels(arena.memory, 'plain SIMD');
    const lines: string[] = [];
    for (const bits of [8, 16] as const) {
      const rounded = takeRounded(arena, 1, K, bits);
      kernels.roundInputs(x, K / 32, rounded);
      const run = (): void => multiply(kernels, matrix, { x, rounded }, 1, out, N);
      writeFileSync(join(folder, 'in'), Buffer.concat([
        new Uint8Array(Int32Array.of(matrix.panels, matrix.groups, bits === 8 ? 1 : 0).buffer), arena.bytesAt(matrix.weights, (N * K) / 2), arena.bytesAt(matrix.scales, (N * K) / 8), arena.bytesAt(rounded.at, (K / 32) * inputBytes),
      ]));
      const times: number[][] = [[], ...Object.keys(builds).map(() => [])];
      for (let round = 0; round < rounds; round++) {
        times[0].push(median(Array.from({ length: each + 1 }, () => {
          const started = performance.now();
          run();
          return performance.now() - started;
        }).slice(1)));
        Object.keys(builds).forEach((name, i) => {
          const { status, stdout } = spawnSync(join(folder, `native${i}`), [join(folder, 'in'), join(folder, 'out'), String(each)], { encoding: 'utf8' });
          if (status !== 0) throw new Error(`the ${name} twin failed`);
          if (!readFileSync(join(folder, 'out')).equals(arena.bytesAt(out, 4 * N))) throw new Error(`the ${name} twin gives other bits`);
          times[i + 1].push(Number(stdout));
        });
      }
      lines.push(`inputs ${bits === 8 ? 'int8' : 'float'}: WASM ${median(times[0]).toFixed(3)} ms${Object.keys(builds).map((name, i) => `; native ${name} ${median(times[i + 1]).toFixed(3)} ms, WASM has ${(100 * median(times[0].map((time, round) => times[i + 1][round] / time))).toFixed(0)} % of its speed`).join('')}; the same bits`);
    }
    return lines;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
