/** Attention, and products with inputs of few bits, by one thread or by a team; runs in Node and in a page. */
import { attentionKernels, causal, codeScratchBytes, floatScratchBytes, packedCodeBytes, packedFloatBytes, type KeysPlace, type LowBitAttention } from '../../src/engine/kernels/attention.ts';
import { sharedAttention } from '../../src/engine/kernels/attention-team.ts';
import { lookupKernels, packDigits, panelRows, tableBytes, ternary } from '../../src/engine/kernels/lookup.ts';
import { sharedLookup } from '../../src/engine/kernels/lookup-team.ts';
import type { Team } from '../../src/engine/kernels/lowbit-team.ts';
import { blockSize, codeBytes, mixedKernels, packBytes, packNibbles, packScales } from '../../src/engine/kernels/mixed.ts';
import { sharedMixed } from '../../src/engine/kernels/mixed-team.ts';
import { boardBytes, type Share } from '../../src/engine/kernels/team.ts';
import { readQdqNetwork } from '../../src/engine/qdq/read.ts';
import { QdqRunner } from '../../src/engine/qdq/run.ts';
import { normal } from '../../src/numeric/random.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { everything } from '../../test/engine/qdq.ts';
import { digest } from './digest.ts';

const draws = (count: number, stream: number): Float32Array => Float32Array.from({ length: count }, (_, i) => normal(21, stream, i));
const ways: Readonly<Record<string, LowBitAttention | undefined>> = { float: undefined, 'codes of 8 bits': { bits: 8, grouping: 'warp' }, 'codes of 4 bits': { bits: 4, smooth: { queries: true, keys: false, values: true } } };

/** Hashes of results, and how often members were asked to share work. */
export async function sharedWork(team?: Team): Promise<{ readonly hashes: Record<string, string>; readonly shared: number }> {
  const arena = new Arena(team !== undefined);
  const board = arena.take(boardBytes);
  const put = (values: Int8Array | Uint8Array | Float32Array): number => {
    const at = arena.take(values.byteLength);
    arena.bytesAt(at, values.byteLength).set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    return at;
  };
  const members = team?.members ?? 1;
  const [rows, cols, tokens] = [320, 1024, 7];
  const blocks = cols / blockSize;
  const flags = Uint8Array.from({ length: blocks }, (_, b) => b % 3 & 1);
  const codes = draws(rows * cols, 1).map((value) => Math.max(-8, Math.min(7, Math.round(3 * value))));
  const small = Int8Array.from(codes);
  const [weights, scales, bytes, digits] = [put(packNibbles(small, rows, cols)), put(packScales(draws(rows * blocks, 2), rows, blocks)), put(packBytes(small, rows, cols)), put(packDigits(Uint8Array.from(codes, (code) => Math.abs(code) % 3), rows, cols))];
  const [x, wide, branch] = [put(draws(tokens * cols, 3)), put(flags), { up: put(draws(rows * 5, 4)), down: put(draws(tokens * 5, 5)), rank: 5 }];
  const inputs = { tokens, blocks, wide, codes: arena.take(2 * tokens * cols), width: codeBytes(flags), scales: arena.take(4 * tokens * blocks), lifts: arena.take(4 * tokens * blocks) };
  const [out, tables] = [arena.take(4 * tokens * rows), arena.take(tokens * tableBytes(blocks))];

  const [queries, count, width] = [700, 300, 36];
  const [query, keys, values] = [put(draws(queries * width, 6)), put(draws(count * width, 7)), put(draws(count * width, 8))];
  const mixedOut = arena.take(4 * queries * width);
  const packed = arena.take(Math.max(packedFloatBytes(count, width), packedCodeBytes(count, width)));
  const scratch = arena.take(members * Math.max(floatScratchBytes(width), codeScratchBytes(count, width)));

  const kernels = await team?.start(arena.memory, board, members, ['attention', 'lookup', 'mixed']);
  let shared = 0;
  const share: Share = (...work) => {
    shared++;
    kernels!.share(...work);
  };
  const [mixed, lookup, attend] = kernels === undefined ? [mixedKernels(arena.memory), lookupKernels(arena.memory), attentionKernels(arena.memory)]
    : [sharedMixed(arena.memory, share), sharedLookup(arena.memory, share), sharedAttention(arena.memory, share)];
  const hashes: Record<string, string> = {};
  const output = { out, stride: rows, first: 0, last: rows / 4 };
  const keep = async (name: string): Promise<void> => { hashes[name] = await digest(arena.floats(out, tokens * rows).slice()); };
  // Work that follows work at once, so that members that are late for one meet the next.
  for (let run = 0; run < 2; run++) {
    mixed.roundBlocks(x, 0, inputs);
    mixed.product(weights, scales, inputs, output, branch);
    await keep('blocks of both widths');
    mixed.roundTokens(x, tokens, cols, inputs.codes, inputs.scales);
    mixed.product8(bytes, scales, cols, inputs.codes, inputs.scales, tokens, output);
    await keep('8 bits on both sides');
    lookup.tables(x, ternary, false, { tokens, blocks, tables, scales: inputs.scales });
    for (let again = 0; again < 3; again++) lookup.product(digits, scales, { tokens, blocks, tables, scales: inputs.scales }, { ...output, last: rows / panelRows, panels: rows / panelRows });
    await keep('ternary');
    const head: KeysPlace = { keys, values, stride: 4 * width, count, width };
    for (const [name, how] of Object.entries(ways)) {
      for (const [mask, visible] of [['all keys', { shown: count, step: 0 as const }], ['causal', causal(queries, count, 90)]] as const) {
        const place = { query, queryStride: 4 * width, rows: queries, out: mixedOut, outStride: 4 * width, scale: 0.3, visible };
        if (how === undefined) {
          attend.packFloat(head, packed);
          attend.attendFloat(place, head, packed, scratch);
        } else {
          attend.packCodes(head, how, scratch, packed);
          attend.attendCodes(place, head, how, packed, scratch);
        }
        hashes[`attention, ${name}, ${mask}`] = await digest(arena.floats(mixedOut, queries * width).slice());
      }
    }
  }
  kernels?.stop();
  return { hashes, shared };
}

/** Outputs of a network of 8 bits with operators of all kinds, for a hundred inputs one after the other: members that come late find other work each time. */
export async function sharedCodes(team?: Team): Promise<string> {
  const graph = everything();
  const runner = await QdqRunner.open(await readQdqNetwork({ ...graph, outputs: graph.outputs.map((output) => ({ ...output, shape: undefined })) }), { build: 'plain SIMD', ...(team === undefined ? {} : { team, worthSharing: 0 }) });
  const made: Float32Array[] = [];
  for (let i = 0; i < 100; i++) made.push((await runner.run({ x: { type: 'f32', shape: [2, 3, 16, 16], data: draws(2 * 3 * 16 * 16, 100 + i) } })).y.data as Float32Array);
  runner.dispose();
  return digest(Float32Array.from(made.flatMap((values) => [...values])));
}
