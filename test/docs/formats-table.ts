/**
 * The table of docs/formats.md, made from the registry of formats and from what the writers do with a matrix of each.
 * `node --import tsx test/docs/formats-table.ts` puts it into the page; a test says when the page is behind.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exportWeightOnly } from '../../src/export/onnx-weight-only.ts';
import { layouts, type Activations } from '../../src/export/safetensors.ts';
import { blockTypes, floatTensor } from '../../src/tensor-ref.ts';
import type { NumberFormat } from '../../src/formats/format.ts';
import { formatHelp, parseFormat } from '../../src/formats/registry.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { makeNode } from '../../src/graph/rewrite.ts';
import { quantizedLazily } from '../../src/round/quantized-matrix.ts';

export const page = join(import.meta.dirname, '../../docs/formats.md');
const size = 4096;
/** Small enough to be made, large enough for every block. */
const side = 256;

const weight = floatTensor('w', [side, side], Float32Array.from({ length: side * side }, (_, i) => Math.sin(i)));
export const oneMatMul: Graph = {
  name: 'g', opset: new Map([['', 21]]), metadata: new Map(), values: new Map(),
  inputs: [{ name: 'x', type: 'f32', shape: [1, side] }], outputs: [{ name: 'y', type: 'f32', shape: [1, side] }],
  nodes: [makeNode('MatMul', ['x', 'w'], ['y'], { name: 'm' })], weights: new Map([['w', weight]]),
};

/** The graph in which the only matrix has this format. */
export async function inFormat(format: NumberFormat): Promise<Graph> {
  const [site] = linearSites(oneMatMul);
  return (await exportWeightOnly(oneMatMul, new Map([[site.id, quantizedLazily(site, format, { name: 'w', search: 'amax' })]]))).graph;
}

async function onnxForm(format: NumberFormat): Promise<string> {
  if (format.family === 'ggml') return '–';
  if (format.family === 'float') return { f32: 'float', f16: 'half-precision graph' }[format.name] ?? '–';
  const { nodes } = await inFormat(format);
  return ['MatMulNBits', 'DequantizeLinear'].find((op) => nodes.some((node) => node.op === op)) ?? 'table lookup';
}

function folders(format: NumberFormat): string {
  if (format.family === 'float') return 'float';
  const takes = (layout: keyof typeof layouts, activations: Activations): boolean => layouts[layout].refuses(format, activations, size, size) === undefined;
  const found = (Object.keys(layouts) as (keyof typeof layouts)[]).filter((layout) => takes(layout, 'float') || takes(layout, 'dynamic'));
  return found.length === 0 ? '–' : found.join(', ');
}

const figure = (bits: number): string => String(Number(bits.toFixed(4)));

export async function formatsTable(): Promise<string> {
  const rows = await Promise.all(formatHelp().map(async ([spelling, meaning]) => {
    const format = parseFormat(spelling);
    const gguf = format.family === 'ggml' || format.family === 'float' ? format.name.replace(/^ggml-/, '').toUpperCase() : '–';
    const about = format.family === 'ggml' ? `GGUF block type: blocks of ${blockTypes[format.blockType!].block}, a scale for ${format.group} values` : meaning;
    return `| \`${spelling}\` | ${figure(format.bitsPerWeight(size, size))} | ${about} | ${await onnxForm(format)} | ${folders(format)} | ${gguf} |`;
  }));
  return ['| spelling | bits per weight | what it is | in ONNX files | in folders | in GGUF files |', '|---|---|---|---|---|---|', ...rows].join('\n');
}

const [begin, end] = ['<!-- formats: made by test/docs/formats-table.ts -->', '<!-- end -->'];

/** The page with the table put in its place. */
export function withTable(text: string, table: string): string {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error('docs/formats.md has lost the marks around its table');
  return `${text.slice(0, from)}${begin}\n${table}\n${text.slice(to)}`;
}

if (process.argv[1] === import.meta.filename) writeFileSync(page, withTable(readFileSync(page, 'utf8'), await formatsTable()));
