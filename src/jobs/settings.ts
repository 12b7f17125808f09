/**
 * What a run is asked to do, after everything a user may write has been brought into one form.
 * The command line and the library API both end here; the rest of the program has no optional anything.
 */
import { z } from 'zod';
import { defineErrors } from '../errors.ts';
import { targets } from './schemes.ts';

const list = <T extends z.ZodType>(item: T) =>
  z.union([z.string().transform((text) => text.split(',').map((part) => part.trim()).filter((part) => part !== '')), z.array(z.any())])
    .pipe(z.array(item).min(1));

export const quantizeSettings = z.strictObject({
  /** File, folder, `hf:owner/name` or URL of the float model. */
  model: z.string().min(1),
  /** Kinds of files to write. */
  to: list(z.enum(targets as [string, ...string[]])).default(['onnx']),
  /** Folder for the output; made when missing. */
  output: z.string().min(1),
  /** Bits per weight, one file per target and number; each target has its own default format for it. */
  bits: list(z.coerce.number()).optional(),
  /** Formats of which every layer takes one by measurement, for `bits`: names, or the words plain (the default of fractions), trellis, vector. */
  candidates: list(z.string()).optional(),
  /** Most bit operations of one sample in the layers, 10⁹: products with the bits of weights times those of inputs. */
  bops: z.coerce.number().positive().optional(),
  /** Most milliseconds of the layers for one sample, by times measured on this machine. */
  latency: z.coerce.number().positive().optional(),
  /** Formats by name instead of `bits`, such as `int4/g32` or `q4_k`. */
  weights: list(z.string()).optional(),
  /** How activations are treated: float, static, dynamic, or a format such as `int8/token` for what layers multiply. */
  activations: z.string().optional(),
  /** How weights are rounded, one file per recipe; by default the best of what the data allows. */
  recipe: list(z.string()).optional(),
  /** Real inputs: text, images, arrays. Split into calibration and evaluation unless `evalData` is given. */
  data: z.string().optional(),
  /** Labels beside `data`: a CSV, a .npy of class indices, or a folder of detection labels. */
  labels: z.string().optional(),
  evalData: z.string().optional(),
  evalLabels: z.string().optional(),
  /** How files become input tensors, as in `rgb 224 crop, /255, mean=…, std=…, nchw`. */
  input: z.string().optional(),
  task: z.string().optional(),
  /** Samples (windows of text, images) that calibrate, and that judge. */
  calibrationSamples: z.coerce.number().int().positive().default(64),
  evaluationSamples: z.coerce.number().int().positive().default(1000),
  /** How safetensors folders are laid out. */
  layout: z.enum(['compressed-tensors', 'gptq', 'awq']).default('compressed-tensors'),
  /** Layers left float, by name or `*` pattern. */
  keep: list(z.string()).default([]),
  /** Formats of single layers, `NAME=FORMAT` each, by name or `*` pattern; whatever the others take. */
  layer: list(z.string().regex(/^[^=].*=[^=]+$/s, 'must look like NAME=FORMAT, such as conv1.weight=int8/channel')).default([]),
  /** llama.cpp importance matrix to weigh columns with, instead of measuring one. */
  imatrix: z.string().optional(),
  /** File for the importance matrix that is measured on the calibration data. */
  saveImatrix: z.string().min(1).optional(),
  seed: z.coerce.number().int().default(0),
  threads: z.coerce.number().int().positive().max(256).default(2),
  dryRun: z.boolean().default(false),
  resume: z.boolean().default(false),
  overwrite: z.boolean().default(false),
  verdict: z.boolean().default(true),
  allowFallback: z.boolean().default(false),
  allowRequantize: z.boolean().default(false),
  maxKl: z.coerce.number().nonnegative().optional(),
  minAgreement: z.coerce.number().min(0).max(1).optional(),
  /** `METRIC=X`: the metric may fall by at most X against the float model. */
  maxDrop: z.string().regex(/^[\w-]+=\d*\.?\d+$/, 'must look like accuracy=0.5').optional(),
  /** Bytes, or with a unit: 20MB. */
  maxSize: z.string().regex(/^\d+(\.\d+)?\s*([kMG]B)?$/i, 'must look like 20MB').optional(),
});

export type QuantizeSettings = z.output<typeof quantizeSettings>;
export type QuantizeRequest = z.input<typeof quantizeSettings>;

const errors = defineErrors('settings', {
  invalid: (f: { path: string; problem: string; value: unknown }) =>
    `${f.path === '' ? 'settings' : `--${f.path.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`}: ${f.problem} (given: ${JSON.stringify(f.value)})`,
});

/** Checks a request for quantization. */
export const parseSettings = (request: QuantizeRequest): QuantizeSettings => checkSettings(quantizeSettings, request);

/** Checks a request; the first thing that is wrong is told with the value that was given. */
export function checkSettings<S extends z.ZodType>(schema: S, request: z.input<S>): z.output<S> {
  const parsed = schema.safeParse(request);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  let value: unknown = request;
  // A list that was written as one text is told as it was written.
  for (const key of issue.path) value = typeof value === 'string' ? value : (value as Record<PropertyKey, unknown> | undefined)?.[key];
  const problem = issue.message.charAt(0).toLowerCase() + issue.message.slice(1);
  throw errors.invalid({ path: String(issue.path[0] ?? ''), problem, value });
}
