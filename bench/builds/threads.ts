/** Two threads beside one, on the same memory and in the build that is taken here. */
import { attentionKernels } from '../../src/engine/kernels/attention.ts';
import { sharedAttention } from '../../src/engine/kernels/attention-team.ts';
import { lookupKernels, packDigits, panelRows, tableBytes, ternary } from '../../src/engine/kernels/lookup.ts';
import { sharedLookup } from '../../src/engine/kernels/lookup-team.ts';
import type { Team } from '../../src/engine/kernels/lowbit-team.ts';
import { blockSize, codeBytes, mixedKernels } from '../../src/engine/kernels/mixed.ts';
import { sharedMixed } from '../../src/engine/kernels/mixed-team.ts';
import { boardBytes } from '../../src/engine/kernels/team.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { inTurns, ratios } from '../../src/reproductions/in-turns.ts';
import { attentionWay } from './attention-way.ts';
import { spread } from './spread.ts';

const [size, most] = [4096, 16];
const blocks = size / blockSize;

export async function threadLines(start: Team['start'], runs: number): Promise<string[]> {
  const arena = new Arena(true);
  const board = arena.take(boardBytes);
  const bytes = (count: number): number => {
    const at = arena.take(count);
    arena.bytesAt(at, count).forEach((_, i, all) => { all[i] = (i * 37) & 255; });
    return at;
  };
  const [weights, digits, scales, x] = [bytes((size * size) / 2), arena.take(packDigits(new Uint8Array(0), size, size).length), arena.take(4 * size * blocks), arena.take(4 * most * size)];
  arena.floats(x, most * size).forEach((_, i, all) => { all[i] = ((i * 29) % 255) - 127; });
  const [codes, inScales, lifts, wide, tables, out] = [arena.take(2 * most * size), arena.take(4 * most * blocks), arena.take(4 * most * blocks), arena.take(blocks), arena.take(most * tableBytes(blocks)), arena.take(4 * most * size)];
  const flags = arena.bytesAt(wide, blocks).fill(1);
  const attends = ([8, 4] as const).map((bits) => [bits, attentionWay(arena, { count: 1024, width: 64, how: { bits }, members: 2 })] as const);
  const team = await start(arena.memory, board, 2, ['attention', 'lookup', 'mixed']);
  const alone = { mixed: mixedKernels(arena.memory), lookup: lookupKernels(arena.memory), attention: attentionKernels(arena.memory) };
  const both = { mixed: sharedMixed(arena.memory, team.share), lookup: sharedLookup(arena.memory, team.share), attention: sharedAttention(arena.memory, team.share) };
  const works: (readonly [name: string, run: (kernels: typeof alone) => void])[] = [
    ...[1, most].flatMap((tokens) => [
      [`W4A8 in blocks of ${blockSize}, ${size} × ${size}, ${tokens} tokens`, ({ mixed }: typeof alone) => {
        const inputs = { tokens, blocks, wide, codes, width: codeBytes(flags), scales: inScales, lifts };
        mixed.roundBlocks(x, 0, inputs);
        mixed.product(weights, scales, inputs, { out, stride: size, first: 0, last: size / 4 });
      }] as const,
      [`ternary weights, ${size} × ${size}, ${tokens} tokens`, ({ lookup }: typeof alone) => {
        const inputs = { tokens, blocks, tables, scales: inScales };
        lookup.tables(x, ternary, false, inputs);
        lookup.product(digits, scales, inputs, { out, stride: size, first: 0, last: size / panelRows, panels: size / panelRows });
      }] as const,
    ]),
    ...attends.map(([bits, run]) => [`attention in codes of ${bits} bits, 1024 queries and keys of 64 channels`, ({ attention }: typeof alone) => run(attention)] as const),
  ];
  const lines = works.map(([name, run]) => {
    const ways = [() => run(alone), () => run(both)];
    for (const way of ways) way();
    const [one, two] = inTurns(ways, runs);
    return `${name}: one thread ${spread(one)} ms, two ${spread(two)} ms, ${spread(ratios(two, one))} times as fast`;
  });
  team.stop();
  return lines;
}
