/** A MatMul or Gemm with integer codes as `com.microsoft.MatMulNBits`. */
import { int } from '../graph/build.ts';
import type { Node } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import { makeNode } from '../graph/rewrite.ts';
import type { NumberFormat, Quantized } from '../formats/format.ts';
import { packing } from '../formats/index.ts';
import { isScaled, type ScaledFormat } from '../formats/scaled.ts';
import { floatBytes, tiledTensor, type Fitted, type Tiles } from './onnx-tiles.ts';
import type { Emit } from './onnx-weight-only.ts';

/** Widths that ONNX Runtime has kernels for, on the CPU and in WebAssembly. */
const kernels = new Set([2, 4, 8]);
/** Blocks of formats whose scale spans the row, for which it is repeated; the operator pads rows to whole blocks. */
const channelBlocks = [128, 64, 32];
/** The block with the fewest bits a row: codes, padding included, and scales. */
const channelBlock = (cols: number, bits: number): number => {
  const size = (block: number): number => Math.ceil(cols / block) * (block * bits + 32);
  return channelBlocks.reduce((best, block) => (size(block) < size(best) ? block : best));
};

const power = (size: number): boolean => size >= 16 && (size & (size - 1)) === 0;
const attribute = (node: Node, name: string, otherwise: number): number => {
  const found = node.attributes[name];
  return found?.kind === 'int' || found?.kind === 'float' ? found.value : otherwise;
};

/** Whether the operator computes what the site does with this format. */
export function takesMatMulNBits(site: Linear, format: NumberFormat): format is ScaledFormat {
  if (site.kind !== 'MatMul' && site.kind !== 'Gemm') return false;
  if (site.kind === 'Gemm' && (attribute(site.node, 'alpha', 1) !== 1 || attribute(site.node, 'beta', 1) !== 1)) return false;
  if (!isScaled(format) || format.integer === undefined || !kernels.has(format.bits)) return false;
  const { granularity } = format;
  return granularity.kind === 'channel' || (granularity.kind === 'group' && power(granularity.size));
}

/** Names of the tensors of a matrix in the layout of the operator: codes [N, blocks, bytes], scales [N, blocks]. */
export interface PackedMatrix {
  readonly codes: string;
  readonly scales: string;
  readonly zeros: string | undefined;
  readonly bits: number;
  readonly block: number;
  readonly blocks: number;
}

/** Adds the tensors of a matrix to `emit`; sites with tied weights share them. */
export function packMatrix({ rows: N, cols: K, id }: Linear, tiles: Tiles, emit: Emit): PackedMatrix {
  const format = tiles.matrix.format as ScaledFormat;
  const { bits } = format;
  const block = format.granularity.kind === 'group' ? format.granularity.size : channelBlock(K, bits);
  const blocks = Math.ceil(K / block);
  const blob = packing.packedLength(block, bits);
  const layout = (rows: number) => ({ N: rows, K, bits, block });
  const grouped = (quantized: Quantized) => packing.groupedCodes(integerZeros(quantized), bits, groupsOf(quantized, blocks));
  const codes = emit.weight(tiledTensor(emit.fresh(`${id}_q${bits}`), 'u8', [N, blocks, blob], tiles, blocks * blob, async (tile, rows) => {
    const { codes, zeros } = grouped(await tiles.quantized(tile));
    return packing.packMatMulNBits(codes, zeros, layout(rows));
  }));
  const scales = emit.weight(tiledTensor(emit.fresh(`${id}_scale`), 'f32', [N, blocks], tiles, 4 * blocks, async (tile, rows) =>
    floatBytes(repeated(await tiles.fitted(tile), rows, blocks, (fit) => fit.scales))));
  const zeroBytes = packing.packedLength(blocks, bits);
  const zeros = !format.integer!.asymmetric ? undefined : emit.weight(tiledTensor(emit.fresh(`${id}_zero`), 'u8', [N, zeroBytes], tiles, zeroBytes, async (tile, rows) => {
    const values = Uint8Array.from(repeated(await tiles.fitted(tile), rows, blocks, (fit) => fit.zeros!), Math.round);
    return packing.packZeroPoints(values, layout(rows));
  }));
  return { codes, scales, zeros, bits, block, blocks };
}

/** The nodes that make the site's output from a packed matrix. */
export function matMulNBits(site: Linear, { codes, scales, zeros, bits, block }: PackedMatrix, emit: Emit, accuracyLevel: number): Node[] {
  const { rows: N, cols: K } = site;
  const inputs = [site.input, codes, scales, ...(zeros === undefined ? [] : [zeros])];
  const bias = site.kind === 'Gemm' ? site.node.inputs[2] ?? '' : '';
  const product = bias === '' ? site.output : emit.fresh(`${site.output}_unbiased`);
  const nodes = [makeNode('MatMulNBits', inputs, [product], {
    name: site.node.name, domain: 'com.microsoft', attributes: { K: int(K), N: int(N), bits: int(bits), block_size: int(block), accuracy_level: int(accuracyLevel) },
  })];
  return bias === '' ? nodes : [...nodes, makeNode('Add', [product, bias], [site.output], { name: emit.fresh(`${site.output}_bias`) })];
}

/** Groups per row as the codes have them; a channel scale serves every block. */
const groupsOf = ({ scaleShape: [, scaleCols] }: Quantized, blocks: number): number => (scaleCols === 1 ? blocks : scaleCols);

/** Zero points that a solver left fractional are rounded: the packed form holds integers. */
function integerZeros(quantized: Quantized): Quantized {
  return quantized.zeros instanceof Float32Array ? { ...quantized, zeros: Uint8Array.from(quantized.zeros, Math.round) } : quantized;
}

function repeated(fit: Fitted, rows: number, blocks: number, of: (fit: Fitted) => ArrayLike<number>): Float32Array {
  const values = of(fit);
  const [scaleRows, scaleCols] = fit.scaleShape;
  if (values instanceof Float32Array && scaleRows === rows && scaleCols === blocks) return values;
  return Float32Array.from({ length: rows * blocks }, (_, i) => values[(scaleRows === 1 ? 0 : Math.floor(i / blocks)) * scaleCols + (scaleCols === 1 ? 0 : i % blocks)]);
}
