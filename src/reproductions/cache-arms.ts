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

/** What is left of the rows of every layer after they went into bytes and back. */
export function held(rows: readonly LayerRows[], shape: RowShape, arm: CacheArm, matching: readonly number[], seed: number): Held {
  let [keyBytes, valueBytes] = [0, 0];
  const others = arm.others ?? 'signs of the spectrum';
  const drawn = (count: number, from: number, stream: number): number[] => Array.from(permutation(seed, stream, from)).slice(0, count).sort((a, b) => a - b);
  const left = rows.map(({ keys, values }, layer): LayerRows => {
    const byRange = loudChannels(keys, shape, arm.keyBits);
    const loud = arm.channels === 'at random' ? drawn(byRange.length, shape.width, layer) : byRange;
    const coded = encodeKeys(keys, shape, { loud, others });
    const kept = arm.protects === undefined ? [] : arm.protects === 'matching' ? matching : drawn(matching.length, shape.tokens, 1000);
    const bytes = encodeValues(values, shape, { ...arm.values, protected: kept });
    keyBytes += coded.length;
    valueBytes += bytes.length;
    return { keys: decodeKeys(coded, shape, { loudCount: loud.length, others }), values: decodeValues(bytes, shape, { ...arm.values, hasProtected: kept.length > 0 }) };
  });
  return { rows: left, keyBytes, valueBytes };
}
