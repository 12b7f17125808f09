/** PNG and JPEG against Pillow, and what becomes of broken files. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateSync } from 'node:zlib';
import { decodeImage, encodePng, isImageName, maxPixels } from '../../../src/observe/data/image.ts';
import { crc32 } from '../../../src/observe/data/npz.ts';
import { difference, imageFile, imageNames, imagePixels, picture, quadrants } from './oracle.ts';

const pngs = imageNames.filter((name) => name.startsWith('png'));
const jpegs = imageNames.filter((name) => name.startsWith('jpeg'));

for (const name of pngs) {
  test(`${name} is decoded to the very pixels of Pillow`, () => {
    assert.deepEqual(decodeImage(imageFile(name)), { width: picture.width, height: picture.height, channels: 3, data: imagePixels(name) });
  });
}

test('all colour types and depths are among the PNG files', () => {
  const seen = new Set(pngs.map((name) => { const file = imageFile(name); return `${file[25]}/${file[24]}`; }));
  for (const kind of ['0/1', '0/2', '0/4', '0/8', '0/16', '2/8', '2/16', '3/1', '3/2', '3/4', '3/8', '4/8', '6/8']) assert.ok(seen.has(kind), kind);
});

/**
 * Inverse cosine transforms and colour conversions may round differently, by 1 and 2 levels. libjpeg also smooths
 * colour where it is stored at half size, the decoder here repeats it: that is up to 20 levels in a picture of 17 × 13
 * pixels whose colours change with every one of them.
 */
const limits = (name: string) => (name === 'jpeg grey' ? { worst: 1, mean: 0.2 } : name.endsWith('4:4:4') ? { worst: 2, mean: 0.6 } : { worst: 20, mean: 5 });

for (const name of jpegs) {
  const { worst, mean } = limits(name);
  test(`${name} is decoded to within ${worst} levels of libjpeg, ${mean} on average`, () => {
    const { width, height, channels, data } = decodeImage(imageFile(name));
    assert.deepEqual([width, height, channels], [picture.width, picture.height, 3]);
    const found = difference(data, imagePixels(name));
    assert.ok(found.worst <= worst && found.mean <= mean, JSON.stringify(found));
  });
}

test('colour stored at half size lies where libjpeg puts it: flat areas agree within 2 levels', () => {
  const { data } = decodeImage(quadrants.file);
  // Four areas of 16 × 16 pixels; two pixels beside their borders are mixed by smoothing.
  const inside = (i: number) => i % 16 >= 2 && i % 16 < 14;
  let judged = 0;
  for (let y = 0; y < 32; y++) for (let x = 0; x < 32; x++) for (let c = 0; c < 3; c++) {
    if (!inside(x) || !inside(y)) continue;
    const at = (y * 32 + x) * 3 + c;
    assert.ok(Math.abs(data[at] - quadrants.pixels[at]) <= 2, `${x}, ${y}: ${data[at]} for ${quadrants.pixels[at]}`);
    judged++;
  }
  assert.equal(judged, 4 * 12 * 12 * 3);
});

test('a PNG that is written reads back to the same pixels', () => {
  assert.deepEqual(decodeImage(encodePng(picture)), picture);
  const grey = encodePng({ width: 2, height: 1, channels: 1, data: Uint8Array.of(7, 200) });
  assert.deepEqual([...decodeImage(grey).data], [7, 7, 7, 200, 200, 200]);
});

test('image files are told by their names', () => {
  assert.deepEqual(['a.png', 'b/c.JPG', 'd.jpeg', 'e.webp', 'png', 'f.png.txt'].map(isImageName), [true, true, true, false, false, false]);
});

const chunk = (kind: string, data: Uint8Array): Buffer => {
  const body = Buffer.concat([Buffer.from(kind), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
};
function header(width: number, height: number, depth = 8, colour = 2): Buffer {
  const data = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, depth, colour, 0, 0, 0]);
  data.writeUInt32BE(width);
  data.writeUInt32BE(height, 4);
  return chunk('IHDR', data);
}
const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const png = (...chunks: readonly Buffer[]) => new Uint8Array(Buffer.concat([signature, ...chunks]));
const end = chunk('IEND', new Uint8Array(0));
const rows = (bytes: number) => chunk('IDAT', deflateSync(new Uint8Array(bytes)));

const broken: readonly (readonly [string, Uint8Array, string])[] = [
  ['ends in the middle', imageFile('png rgb 8').subarray(0, 100), 'chunk IDAT ends after the file'],
  ['has no end', png(header(1, 1), rows(4)), 'ends before its last chunk'],
  ['has a header of another length', png(chunk('IHDR', new Uint8Array(12)), end), 'header of a wrong length'],
  ['has no pixels', png(header(0, 5), end), 'no pixels'],
  ['has no header', png(rows(4), end), 'no header'],
  ['inflates past its size', png(header(1, 1), rows(100_000), end), 'its data inflates past 4 bytes'],
  ['points past its palette', png(header(1, 1, 8, 3), chunk('PLTE', Uint8Array.of(1, 2, 3)), chunk('IDAT', deflateSync(Uint8Array.of(0, 1))), end), 'palette has no entry 1'],
];
for (const [what, file, why] of broken) {
  test(`a PNG that ${what} is refused`, () => {
    assert.throws(() => decodeImage(file, 'a.png'), { code: 'image.broken', message: `a.png: broken image (${why})` });
  });
}

test('a picture of too many pixels is refused before it is decoded', () => {
  assert.throws(() => decodeImage(png(header(8000, 8001), rows(4), end), 'a.png'), { code: 'image.tooLarge', message: `a.png: 8000x8001 pixels (limit ${maxPixels})` });
  const jpeg = imageFile('jpeg 4:4:4').slice();
  // The frame header SOF0: length, precision, height, width.
  const frame = jpeg.findIndex((byte, i) => byte === 0xff && jpeg[i + 1] === 0xc0);
  jpeg.set([0xff, 0xff, 0xff, 0xff], frame + 5);
  assert.throws(() => decodeImage(jpeg, 'a.jpg'), { code: 'image.tooLarge', message: `a.jpg: 65535x65535 pixels (limit ${maxPixels})` });
});

test('a JPEG that claims more blocks than its bytes could hold is refused before room is made for them', () => {
  const jpeg = imageFile('jpeg 4:4:4').slice();
  const frame = jpeg.findIndex((byte, i) => byte === 0xff && jpeg[i + 1] === 0xc0);
  jpeg.set([0x20, 0, 0x10, 0], frame + 5);
  const before = process.resourceUsage().maxRSS;
  assert.throws(() => decodeImage(jpeg, 'a.jpg'), { code: 'image.broken', message: `a.jpg: broken image (4096x8192 pixels in ${jpeg.length} bytes)` });
  // The same behind a table that is longer than it says, where the header is found by reading the table only.
  const table = jpeg.findIndex((byte, i) => byte === 0xff && jpeg[i + 1] === 0xdb);
  jpeg[table + 3]--;
  assert.throws(() => decodeImage(jpeg, 'a.jpg'), { code: 'image.broken', message: /a.jpg: broken image \(maxresolutioninmp limit exceeded/ });
  assert.ok(process.resourceUsage().maxRSS - before < 50 * 1024);
});

test('damaged and cut files are refused in one line or decoded, and never anything else', () => {
  for (const name of ['png rgb 8', 'png palette 4', 'png rgb 8 interlaced', 'jpeg 4:2:0', 'jpeg progressive 4:4:4', 'jpeg grey']) {
    const whole = imageFile(name);
    for (let i = 2; i < whole.length; i += 5) {
      for (const file of [whole.slice(0, i), whole.with(i, whole[i] ^ 0x5a)]) {
        try {
          const { width, height, data } = decodeImage(file, name);
          assert.equal(data.length, width * height * 3);
        } catch (error) {
          assert.match((error as { code?: string }).code ?? String(error), /^image\.(broken|tooLarge)$/);
        }
      }
    }
  }
});

test('other files are neither PNG nor JPEG', () => {
  for (const file of [new Uint8Array(0), Uint8Array.of(0x89), new TextEncoder().encode('GIF89a')]) {
    assert.throws(() => decodeImage(file, 'a.png'), { code: 'image.unknown', message: 'a.png: neither a PNG nor a JPEG file' });
  }
});
