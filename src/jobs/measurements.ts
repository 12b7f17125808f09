/**
 * What runs measured and later runs need again, such as what each format costs in each layer: one JSON file of figures, or one
 * of bytes, per model, data and settings, wherever such files are kept. One that is damaged or of another version counts as absent.
 */
import type { Measurements } from '../recipes/state.ts';

/** Of the figures' meaning: a change in how they are measured takes a new number. */
const layout = 1;

/** What figures belong to. */
export interface MeasuredOn {
  /** Digests of the model's files. */
  readonly model: readonly string[];
  /** Stands for a model without files here. */
  readonly location: string;
  /** Digest of the calibration data. */
  readonly data: string | undefined;
  readonly keep: readonly string[];
}

/** A folder of small files that nobody else writes; what cannot be written is not kept, and no run fails for it. */
export interface KeptFiles {
  read(file: string): Promise<Uint8Array | undefined>;
  write(file: string, bytes: Uint8Array): Promise<void>;
  /** Moments and rounded layers are kept too: megabytes for a small model. */
  readonly large: boolean;
}

const digestBytes = 32;
const sha256 = async (bytes: Uint8Array): Promise<Uint8Array> => new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));
const hexOf = async (text: string): Promise<string> => [...await sha256(new TextEncoder().encode(text))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

/** What was measured of one model on its data. */
export function measurementsIn(files: KeptFiles, { model, location, data, keep }: MeasuredOn): Measurements {
  const fileOf = (name: string): Promise<string> => hexOf(JSON.stringify([layout, model.length > 0 ? model : location, data ?? null, keep, name]));
  return {
    async read(name) {
      try {
        const { layout: found, values, sha256: sum } = JSON.parse(new TextDecoder().decode(await files.read(`${await fileOf(name)}.json`))) as { layout: number; values: Record<string, number>; sha256: string };
        return found === layout && await hexOf(JSON.stringify(values)) === sum ? values : undefined;
      } catch {
        return undefined;
      }
    },
    async write(name, values) {
      const text = JSON.stringify({ layout, values, sha256: await hexOf(JSON.stringify(values)) });
      await files.write(`${await fileOf(name)}.json`, new TextEncoder().encode(text));
    },
    ...(files.large ? { large: { read: async (name) => checked(await files.read(`${await fileOf(name)}.bin`)), write: async (name, bytes) => files.write(`${await fileOf(name)}.bin`, await withDigest(bytes)) } } : {}),
  };
}

async function withDigest(bytes: Uint8Array): Promise<Uint8Array> {
  const whole = new Uint8Array(digestBytes + bytes.byteLength);
  whole.set(await sha256(bytes));
  whole.set(bytes, digestBytes);
  return whole;
}

async function checked(whole: Uint8Array | undefined): Promise<Uint8Array | undefined> {
  if (whole === undefined || whole.byteLength < digestBytes) return undefined;
  const bytes = whole.subarray(digestBytes);
  const sum = await sha256(bytes);
  return sum.every((byte, i) => byte === whole[i]) ? bytes : undefined;
}
