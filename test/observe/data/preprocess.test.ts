/** The grammar of `--input`, what it makes of a picture, and Hugging Face's configuration; pixels against Pillow. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitImage, inputRange, inputText, parseInput, preprocess, rawPixels, type Preprocessing } from '../../../src/observe/data/preprocess.ts';
import { parsePreprocessorConfig } from '../../../src/observe/data/preprocessor-config.ts';
import { centreCrop, resizeImage, type Filter, type Image } from '../../../src/observe/data/resize.ts';
import { difference, picture, resizedNames, resizedPixels } from './oracle.ts';

/** Pillow rounds its weights to 22 bits: a sum near a half may fall on the other side. `area` is rounded after each pass, the exact mean once. */
const tolerance: Readonly<Record<Filter, { readonly worst: number; readonly mean: number }>> = {
  bilinear: { worst: 1, mean: 0.03 }, bicubic: { worst: 1, mean: 0.03 }, area: { worst: 1, mean: 0.2 }, nearest: { worst: 0, mean: 0 },
};
for (const name of resizedNames) {
  const match = /^(bilinear|bicubic|area|nearest) (\d+)x(\d+)$/.exec(name);
  if (match === null) continue;
  const filter = match[1] as Filter;
  const { worst, mean } = tolerance[filter];
  test(`${picture.width}x${picture.height} pixels become ${match[2]}x${match[3]} by ${filter} as elsewhere, within ${worst} of 255`, () => {
    const { width, height, data } = resizeImage(picture, Number(match[2]), Number(match[3]), filter);
    assert.deepEqual([width, height], [Number(match[2]), Number(match[3])]);
    const found = difference(data, resizedPixels(name));
    assert.ok(found.worst <= worst && found.mean <= mean, JSON.stringify(found));
  });
}

test('area is bilinear when it enlarges, and the same size is the same image', () => {
  assert.deepEqual(resizeImage(picture, 22, 17, 'area'), resizeImage(picture, 22, 17, 'bilinear'));
  assert.equal(resizeImage(picture, picture.width, picture.height), picture);
});

/** Pixels that say where they were: red is x, green is y. */
const map = (width: number, height: number): Image =>
  ({ width, height, channels: 3, data: Uint8Array.from({ length: width * height * 3 }, (_, i) => (i % 3 === 0 ? Math.floor(i / 3) % width : i % 3 === 1 ? Math.floor(i / 3 / width) : 0)) });

test('the middle is cut out where torchvision cuts it: halves go to the even margin', () => {
  // int(round(cut / 2.0)) in Python: cuts of 0 … 7.
  for (const [cut, left] of [0, 0, 1, 2, 2, 2, 3, 4].entries()) {
    const { data } = centreCrop(map(3 + cut, 2 + cut), 3, 2);
    assert.deepEqual([...data.subarray(0, 2)], [left, left], `a cut of ${cut}`);
    assert.deepEqual([...data.subarray(15, 17)], [left + 2, left + 1]);
  }
});

const crop = (size: number, cropFrom?: number): Preprocessing =>
  ({ ...rawPixels, size: { width: size, height: size }, fit: 'crop', filter: 'nearest', ...(cropFrom === undefined ? {} : { cropFrom }) });

test('a crop takes the short side to the given length exactly, and the long one by its share rounded down', () => {
  // 49 · (8 / 49) is below 8 in floating point; the long side is int(8 · 99 / 49) = 16.
  for (const [width, height] of [[49, 99], [99, 49]]) {
    const expected = centreCrop(resizeImage(map(width, height), width === 49 ? 8 : 16, width === 49 ? 16 : 8, 'nearest'), 7, 7);
    assert.deepEqual(fitImage(map(width, height), crop(7, 8)), expected);
  }
});

test('without a length the short side is 8/7 of the crop', () => {
  assert.deepEqual(fitImage(map(40, 20), crop(7)), fitImage(map(40, 20), crop(7, 8)));
  assert.deepEqual(fitImage(map(50, 60), { ...crop(28), filter: 'area' }), fitImage(map(50, 60), { ...crop(28, 32), filter: 'area' }));
});

test('an image too narrow for a wide crop is enlarged until it fits', () => {
  const wide: Preprocessing = { ...crop(4, 8), size: { width: 16, height: 4 } };
  const found = fitImage(map(10, 10), wide);
  assert.deepEqual([found.width, found.height], [16, 4]);
  assert.deepEqual(found, centreCrop(resizeImage(map(10, 10), 16, 16, 'nearest'), 16, 4));
});

const dots: Image = { width: 2, height: 1, channels: 3, data: Uint8Array.of(10, 20, 30, 40, 50, 60) };

test('layouts and colour orders place the pixels', () => {
  const made = (text: string) => { const { type, shape, data } = preprocess(dots, parseInput(text)); return [type, shape, [...data as Float32Array]]; };
  assert.deepEqual(made('rgb'), ['f32', [1, 3, 1, 2], [10, 40, 20, 50, 30, 60]]);
  assert.deepEqual(made('bgr'), ['f32', [1, 3, 1, 2], [30, 60, 20, 50, 10, 40]]);
  assert.deepEqual(made('rgb, nhwc'), ['f32', [1, 1, 2, 3], [10, 20, 30, 40, 50, 60]]);
  assert.deepEqual(made('bgr, nhwc, u8'), ['u8', [1, 1, 2, 3], [30, 20, 10, 60, 50, 40]]);
  // 0.299 · 10 + 0.587 · 20 + 0.114 · 30 = 18.15
  assert.deepEqual(made('gray'), ['f32', [1, 1, 1, 2], [18, 48]]);
  const grey: Image = { width: 2, height: 1, channels: 1, data: Uint8Array.of(7, 9) };
  assert.deepEqual([...preprocess(grey, parseInput('rgb')).data as Float32Array], [7, 9, 7, 9, 7, 9]);
  assert.deepEqual([...preprocess(grey, parseInput('gray')).data as Float32Array], [7, 9]);
});

test('grey is the luma of Pillow to the last level', () => {
  assert.deepEqual(preprocess(picture, parseInput('gray, u8')).data, resizedPixels('luma'));
});

test('a pixel becomes (p / divisor − mean) / std of its channel', () => {
  const { data } = preprocess(dots, parseInput('rgb, /10, mean=1/2/3, std=2/4/5, nhwc'));
  assert.deepEqual([...data as Float32Array], [0, 0, 0, 1.5, 0.75, 0.6].map(Math.fround));
  assert.deepEqual([...preprocess(dots, parseInput('bgr, /10, mean=1, std=2, nhwc')).data as Float32Array], [1, 0.5, 0, 2.5, 2, 1.5]);
  assert.deepEqual(inputRange(parseInput('rgb, /255, mean=0/.5/.5, std=1/.5/-1')), [[0, 1], [-1, 1], [-0.5, 0.5]]);
  assert.deepEqual(inputRange(parseInput('gray')), [[0, 255]]);
});

test('the grammar gives the record that it says', () => {
  assert.deepEqual(parseInput('rgb 224 crop, /255, mean=.485/.456/.406, std=.229/.224/.225, nchw'), {
    color: 'rgb', size: { width: 224, height: 224 }, fit: 'crop', filter: 'bilinear', divisor: 255,
    mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], layout: 'nchw', type: 'f32',
  });
  assert.deepEqual(parseInput('BGR 320x240 bicubic crop=256,NHWC,u8'), {
    ...rawPixels, color: 'bgr', size: { width: 320, height: 240 }, fit: 'crop', cropFrom: 256, filter: 'bicubic', layout: 'nhwc', type: 'u8',
  });
  assert.deepEqual(parseInput('gray 28 resize area /127.5 mean=1'), { ...rawPixels, color: 'gray', size: { width: 28, height: 28 }, filter: 'area', divisor: 127.5, mean: [1] });
  assert.deepEqual(parseInput(''), rawPixels);
});

test('every record has one spelling that reads back', () => {
  for (const [text, spelling] of [
    ['', 'rgb, nchw'],
    ['nhwc, std=2, bgr 32x16 nearest', 'bgr 32x16 resize nearest, std=2, nhwc'],
    ['rgb 224 crop=256 bicubic, /255, mean=.5', 'rgb 224 crop=256 bicubic, /255, mean=0.5, nchw'],
    ['gray 28 crop, nhwc, u8', 'gray 28 crop, nhwc, u8'],
    ['rgb area', 'rgb area, nchw'],
    ['rgb, /1e-7, mean=-1e-9', 'rgb, /1e-7, mean=-1e-9, nchw'],
  ]) {
    assert.equal(inputText(parseInput(text)), spelling);
    assert.deepEqual(parseInput(spelling), parseInput(text));
  }
});

const refused: readonly (readonly [string, string, string])[] = [
  ['rgb 224 zoom', 'input.unknownWord', '--input: unknown word \'zoom\''],
  ['mean=.5/x/.5', 'input.badNumber', '--input: \'mean=.5/x/.5\' is not a number or a list of numbers with / between them'],
  ['std=', 'input.badNumber', '--input: \'std=\' is not a number or a list of numbers with / between them'],
  ['/255/2', 'input.badNumber', '--input: \'/255/2\' is not a number or a list of numbers with / between them'],
  ['mean=1e999', 'input.badNumber', '--input: \'mean=1e999\' is not a number or a list of numbers with / between them'],
  ['0', 'input.badSize', '--input: size \'0\' is not between 1 and 16384'],
  ['224x99999', 'input.badSize', '--input: size \'224x99999\' is not between 1 and 16384'],
  ['224 crop=big', 'input.badSize', '--input: size \'crop=big\' is not between 1 and 16384'],
  ['/0', 'input.zero', '--input: \'/0\' divides by zero'],
  ['std=1/0/1', 'input.zero', '--input: \'std=1/0/1\' divides by zero'],
  ['rgb 224, bgr', 'input.repeated', '--input: \'bgr\' sets the color a second time'],
  ['224 crop resize', 'input.repeated', '--input: \'resize\' sets the fit a second time'],
  ['rgb mean=1/2', 'input.channels', '--input: mean has 2 values for 3 channels'],
  ['gray std=1/2/3', 'input.channels', '--input: std has 3 values for 1 channel'],
  ['rgb crop', 'input.cropWithoutSize', '--input: \'crop\' needs a size'],
  ['rgb crop=256', 'input.cropWithoutSize', '--input: \'crop=256\' needs a size'],
  ['224 crop=200', 'input.cropTooLarge', '--input: a crop of 224x224 does not fit into a short side of 200'],
  ['u8, /255', 'input.floatsInBytes', '--input: u8 inputs take no mean, std or divisor'],
];
for (const [text, code, message] of refused) {
  test(`--input '${text}' is refused: ${message.replace('--input: ', '')}`, () => {
    assert.throws(() => parseInput(text), { code, message });
  });
}

const config = (fields: object) => parsePreprocessorConfig(JSON.stringify(fields), 'p.json');

test('the configuration of a vision transformer stretches, rescales and normalizes', () => {
  assert.deepEqual(config({
    do_normalize: true, do_rescale: true, do_resize: true, image_mean: [0.5, 0.5, 0.5], image_processor_type: 'ViTImageProcessor', image_std: [0.5, 0.5, 0.5],
    resample: 2, rescale_factor: 0.00392156862745098, size: { height: 224, width: 224 },
  }), { ...rawPixels, size: { width: 224, height: 224 }, divisor: 255, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] });
});

test('the configuration of CLIP takes the short side to the edge and cuts the middle', () => {
  for (const [size, crop_size] of [[224, 224], [{ shortest_edge: 224 }, { height: 224, width: 224 }]]) {
    assert.equal(inputText(config({ size, crop_size, do_center_crop: true, resample: 3, image_mean: [0.1, 0.2, 0.3], image_std: [0.4, 0.5, 0.6] })),
      'rgb 224 crop=224 bicubic, /255, mean=0.1/0.2/0.3, std=0.4/0.5/0.6, nchw');
  }
  assert.equal(inputText(config({ size: { shortest_edge: 256 }, crop_size: 224, do_center_crop: true, do_normalize: false })), 'rgb 224 crop=256, /255, nchw');
  assert.equal(inputText(config({ size: { shortest_edge: 224 }, do_normalize: false })), 'rgb 224 crop=224, /255, nchw');
});

test('ConvNeXT reaches its crop through crop_pct below 384 pixels, and is stretched from there on', () => {
  const of = (fields: object) => inputText(config({ do_normalize: false, resample: 3, feature_extractor_type: 'ConvNextFeatureExtractor', ...fields }));
  assert.equal(of({ size: 224, crop_pct: 0.875 }), 'rgb 224 crop=256 bicubic, /255, nchw');
  assert.equal(of({ size: { shortest_edge: 224 } }), 'rgb 224 crop=256 bicubic, /255, nchw');
  assert.equal(of({ size: { shortest_edge: 288 }, crop_pct: 0.95 }), 'rgb 288 crop=303 bicubic, /255, nchw');
  assert.equal(of({ size: { shortest_edge: 384 }, crop_pct: 0.875 }), 'rgb 384 resize bicubic, /255, nchw');
});

test('LeViT enlarges the edge before it cuts', () => {
  assert.equal(inputText(config({ feature_extractor_type: 'LevitFeatureExtractor', do_center_crop: true, size: 224, do_normalize: false })), 'rgb 224 crop=256, /255, nchw');
});

test('steps that a configuration turns off are left out', () => {
  assert.deepEqual(config({ do_resize: false, do_rescale: false, do_normalize: false, image_mean: 9 }), rawPixels);
  assert.equal(inputText(config({ do_resize: false, do_center_crop: true, crop_size: 96, do_normalize: false })), 'rgb 96 crop=96, /255, nchw');
  assert.equal(inputText(config({ size: 96, rescale_factor: 0.25, image_mean: 0.5 })), 'rgb 96 resize, /4, mean=0.5, nchw');
  assert.equal(inputText(config({ size: 96, resample: 0, do_normalize: false })), 'rgb 96 resize nearest, /255, nchw');
});

const badConfigs: readonly (readonly [string, string, RegExp])[] = [
  ['{', 'preprocessorConfig.notJson', /^p\.json: not a JSON object$/],
  ['[1]', 'preprocessorConfig.notJson', /^p\.json: not a JSON object$/],
  ['{"do_resize": "yes", "size": 8}', 'preprocessorConfig.badField', /^p\.json: do_resize: invalid input/],
  ['{"size": 8, "image_mean": [0.5, 0.5]}', 'preprocessorConfig.badField', /^p\.json: image_mean: invalid input/],
  ['{"size": 8, "image_std": [0, 1, 1]}', 'preprocessorConfig.badField', /^p\.json: image_std\.0: too small/],
  ['{"size": 8, "rescale_factor": 0}', 'preprocessorConfig.badField', /^p\.json: rescale_factor: too small/],
  ['{"size": 8, "resample": 1}', 'preprocessorConfig.badResample', /^p\.json: resample 1 is not supported \(known: 0 nearest, 2 bilinear, 3 bicubic, 4 area\)$/],
  ['{"size": {"longest_edge": 8}}', 'preprocessorConfig.noSize', /^p\.json: size \{"longest_edge":8\} is not height and width or shortest_edge$/],
  ['{}', 'preprocessorConfig.noSize', /^p\.json: size missing is not height and width or shortest_edge$/],
];
for (const [text, code, message] of badConfigs) {
  test(`a preprocessor configuration ${text} is refused`, () => {
    assert.throws(() => parsePreprocessorConfig(text, 'p.json'), { code, message });
  });
}
