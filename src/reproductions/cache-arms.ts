/** Ways to hold keys and values in one to two bits, by name: the method, its neighbours, and what it is without its parts. */
import { permutation } from '../numeric/random.ts';
import { decodeKeys, decodeValues, encodeKeys, encodeValues, loudChannels, type KeyCoding, type RowShape, type ValueCoding } from '../runtime/vidkv.ts';
import type { LayerRows } from './watched-caches.ts';

export interface CacheArm {
  /** Bits of keys: 1 to 2. */
  readonly keyBits: number;
  readonly others?: KeyCoding['others'];
  /** How channels of 2 bits are chosen; by their range unless given. */
  readonly channels?: 'at random';
  readonly values: Pick<ValueCoding, 'format' | 'along'>;
  /** Which tokens' values take 2 bits. */
  readonly protects?: 'matching' | 'at random';
}

const trits = { format: 'ternary', along: 'tokens' } as const;
export const cacheArms = {
  '2 bits, values per token': { keyBits: 2, values: { format: '2 bits', along: 'channels' } },
  '2 bits': { keyBits: 2, values: { format: '2 bits', along: 'tokens' } },
  '1.5 and 1.58 bits': { keyBits: 1.5, values: trits },
  '1.5 and 1.66 bits': { keyBits: 1.5, values: trits, protects: 'matching' },
  '1 and 1 bit': { keyBits: 1, values: { format: 'sign', along: 'tokens' } },
  '1.5 and 1.58 bits, no transform': { keyBits: 1.5, others: 'signs', values: trits },
  '1.5 and 1.58 bits, minimum or maximum': { keyBits: 1.5, others: 'minimum or maximum', values: trits },
  '1.5 and 1.58 bits, channels at random': { keyBits: 1.5, channels: 'at random', values: trits },
  '1.5 and 1.58 bits, values per token': { keyBits: 1.5, values: { format: 'ternary', along: 'channels' } },
  '1.5 and 1.66 bits, tokens at random': { keyBits: 1.5, values: trits, protects: 'at random' },
} as const satisfies Readonly<Record<string, CacheArm>>;
export type CacheArmName = keyof typeof cacheArms;

export interface Held { readonly rows: LayerRows[]; readonly keyBytes: number; readonly valueBytes: number }

interface Coded { readonly bytes: number; readonly layers: Float32Array[] }

/** What is left of the rows of every layer after they went into bytes and back. Arms that share a part find it in `made`. */
export function held(rows: readonly LayerRows[], shape: RowShape, arm: CacheArm, matching: readonly number[], seed: number, made = new Map<string, Coded>()): Held {
  const others = arm.others ?? 'signs of the spectrum';
  const drawn = (count: number, from: number, stream: number): number[] => Array.from(permutation(seed, stream, from)).slice(0, count).sort((a, b) => a - b);
  const once = (name: string, code: (layer: number) => readonly [bytes: Uint8Array, left: Float32Array]): Coded => {
    const coded = made.get(name) ?? rows.map((_, layer) => code(layer)).reduce<Coded>((all, [bytes, left]) => ({ bytes: all.bytes + bytes.length, layers: [...all.layers, left] }), { bytes: 0, layers: [] });
    made.set(name, coded);
    return coded;
  };
  const keys = once(`keys ${arm.keyBits} ${others} ${arm.channels === undefined ? '' : seed}`, (layer) => {
    const byRange = loudChannels(rows[layer].keys, shape, arm.keyBits);
    const loud = arm.channels === undefined ? byRange : drawn(byRange.length, shape.width, layer);
    const bytes = encodeKeys(rows[layer].keys, shape, { loud, others });
    return [bytes, decodeKeys(bytes, shape, { loudCount: loud.length, others })];
  });
  const protect = arm.protects === undefined ? [] : arm.protects === 'matching' ? matching : drawn(matching.length, shape.tokens, 1000);
  const values = once(`values ${arm.values.format} ${arm.values.along} ${protect.join()}`, (layer) => {
    const bytes = encodeValues(rows[layer].values, shape, { ...arm.values, protected: protect });
    return [bytes, decodeValues(bytes, shape, { ...arm.values, hasProtected: protect.length > 0 })];
  });
  return { rows: rows.map((_, layer) => ({ keys: keys.layers[layer], values: values.layers[layer] })), keyBytes: keys.bytes, valueBytes: values.bytes };
}
