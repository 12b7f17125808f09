/** Hugging Face `preprocessor_config.json` of image models, read into the record of `--input`. */
import { z } from 'zod';
import { defineErrors } from '../../errors.ts';
import { rawPixels, type Preprocessing } from './preprocess.ts';
import type { Filter } from './resize.ts';

const errors = defineErrors('preprocessorConfig', {
  notJson: (f: { name: string }) => `${f.name}: not a JSON object`,
  badField: (f: { name: string; field: string; expected: string }) => `${f.name}: ${f.field}: ${f.expected}`,
  badResample: (f: { name: string; resample: number }) =>
    [`${f.name}: resample ${f.resample} is not supported (known: 0 nearest, 2 bilinear, 3 bicubic, 4 area)`, 'give --input instead'] as const,
  noSize: (f: { name: string; size: string }) => [`${f.name}: size ${f.size} is not height and width or shortest_edge`, 'give --input instead'] as const,
});

const side = z.number().int().min(1).max(16384);
const size = z.union([side, z.object({ height: side, width: side }), z.object({ shortest_edge: side })]);
const perChannel = (value: z.ZodNumber) => z.union([value, z.tuple([value]), z.tuple([value, value, value])]);
const shape = z.object({
  do_resize: z.boolean().default(true),
  size: z.unknown().optional(),
  resample: z.number().int().default(2),
  do_center_crop: z.boolean().default(false),
  crop_size: z.unknown().optional(),
  crop_pct: z.number().positive().max(1).nullish(),
  do_rescale: z.boolean().default(true),
  rescale_factor: z.number().positive().default(1 / 255),
  do_normalize: z.boolean().default(true),
  image_mean: perChannel(z.number()).nullish(),
  image_std: perChannel(z.number().positive()).nullish(),
  image_processor_type: z.string().nullish(),
  feature_extractor_type: z.string().nullish(),
});

const filters: Readonly<Record<number, Filter>> = { 0: 'nearest', 2: 'bilinear', 3: 'bicubic', 4: 'area' };

/** Parses the text of the file. Fields that other kinds of models use are ignored. */
export function parsePreprocessorConfig(text: string, name = 'preprocessor_config.json'): Preprocessing {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw errors.notJson({ name });
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw errors.notJson({ name });
  const parsed = shape.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw errors.badField({ name, field: issue.path.join('.'), expected: issue.message.toLowerCase() });
  }
  const config = parsed.data;
  const filter = filters[config.resample];
  if (filter === undefined) throw errors.badResample({ name, resample: config.resample });
  // Written as a factor of sixteen digits; 1/255 comes back as exactly 255.
  const inverse = 1 / config.rescale_factor;
  const divisor = !config.do_rescale ? 1 : Math.abs(inverse - Math.floor(inverse + 0.5)) < 1e-6 ? Math.floor(inverse + 0.5) : inverse;
  const list = (value: number | readonly number[] | null | undefined, fallback: number): readonly number[] => (value === null || value === undefined ? [fallback] : typeof value === 'number' ? [value] : value);
  return {
    ...rawPixels,
    ...geometry(config, name),
    filter,
    divisor,
    mean: config.do_normalize ? list(config.image_mean, 0) : [0],
    std: config.do_normalize ? list(config.image_std, 1) : [1],
  };
}

function geometry(config: z.infer<typeof shape>, name: string): Pick<Preprocessing, 'size' | 'fit' | 'cropFrom'> {
  const read = (value: unknown) => {
    const parsed = size.safeParse(value);
    if (!parsed.success) throw errors.noSize({ name, size: (JSON.stringify(value) ?? 'missing').slice(0, 80) });
    return parsed.data;
  };
  const square = (value: z.infer<typeof size>) =>
    typeof value === 'number' ? { width: value, height: value }
      : 'height' in value ? { width: value.width, height: value.height }
        : { width: value.shortest_edge, height: value.shortest_edge };
  const kind = config.image_processor_type ?? config.feature_extractor_type ?? '';
  if (config.do_center_crop) {
    const crop = square(read(config.crop_size ?? config.size));
    if (!config.do_resize) return { size: crop, fit: 'crop', cropFrom: Math.min(crop.width, crop.height) };
    const resized = square(read(config.size ?? config.crop_size));
    const edge = Math.min(resized.width, resized.height);
    // LeViT's processor enlarges the edge itself.
    return { size: crop, fit: 'crop', cropFrom: kind.startsWith('Levit') ? Math.floor((256 / 224) * edge) : edge };
  }
  if (!config.do_resize) return { fit: 'resize' };
  const target = read(config.size);
  const edge = typeof target === 'number' ? target : 'shortest_edge' in target ? target.shortest_edge : undefined;
  if (edge !== undefined && (kind.startsWith('ConvNext') || typeof config.crop_pct === 'number')) {
    // ConvNeXT: the edge is the crop, reached through edge / crop_pct; from 384 on the image is stretched.
    if (edge < 384) return { size: square(edge), fit: 'crop', cropFrom: Math.floor(edge / (config.crop_pct ?? 224 / 256)) };
  } else if (typeof target === 'object' && edge !== undefined) {
    return { size: square(edge), fit: 'crop', cropFrom: edge };
  }
  return { size: square(target), fit: 'resize' };
}
