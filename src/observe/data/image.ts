/** PNG and JPEG files to 8-bit RGB. Sizes are checked in the headers before a decoder sees the file. */
import { decode as decodePng, encode } from 'fast-png';
import { Unzlib } from 'fflate';
import { decode as decodeJpeg } from 'jpeg-js';
import { defineErrors } from '../../errors.ts';
import type { Image } from './resize.ts';

/** 64 megapixels: larger than any camera image that a network is fed with whole. */
export const maxPixels = 64_000_000;

const errors = defineErrors('image', {
  unknown: (f: { name: string }) => `${f.name}: neither a PNG nor a JPEG file`,
  broken: (f: { name: string; why: string }) => `${f.name}: broken image (${f.why})`,
  tooLarge: (f: { name: string; width: number; height: number }) => `${f.name}: ${f.width}x${f.height} pixels (limit ${maxPixels})`,
});

/** File names that `decodeImage` reads. */
export const isImageName = (name: string) => /\.(png|jpe?g)$/i.test(name);

/** Decodes a PNG (all colour types and depths) or a baseline or progressive JPEG; transparency is dropped, grey is repeated. */
export function decodeImage(bytes: Uint8Array, name = 'image'): Image {
  try {
    if (bytes[0] === 0x89 && bytes[1] === 0x50) return fromPng(bytes, name);
    if (bytes[0] === 0xff && bytes[1] === 0xd8) return fromJpeg(bytes, name);
  } catch (error) {
    if (error instanceof Error && 'facts' in error) throw error;
    throw errors.broken({ name, why: (error instanceof Error ? error.message : String(error)).toLowerCase() });
  }
  throw errors.unknown({ name });
}

/** An RGB or grey image as a PNG file. */
export function encodePng(image: Image): Uint8Array {
  return encode({ width: image.width, height: image.height, channels: image.channels, depth: 8, data: image.data });
}

function fromJpeg(bytes: Uint8Array, name: string): Image {
  const frame = jpegFrame(bytes);
  const mostPixels = bytes.length * 8 * 64;
  if (frame !== undefined) {
    const pixels = frame.width * frame.height;
    if (pixels > maxPixels) throw errors.tooLarge({ name, ...frame });
    // The decoder makes room for all blocks before it reads the first; each takes one bit of the file at least.
    if (pixels > mostPixels) throw errors.broken({ name, why: `${frame.width}x${frame.height} pixels in ${bytes.length} bytes` });
  }
  // Behind damaged segments the decoder may find another frame than the first one: it gets the limit too.
  const { width, height, data } = decodeJpeg(bytes, { useTArray: true, formatAsRGBA: false, maxResolutionInMP: Math.min(maxPixels, mostPixels) / 1e6, maxMemoryUsageInMB: 1024, tolerantDecoding: false });
  if (width * height * 3 !== data.length) throw errors.broken({ name, why: `${data.length} bytes for ${width}x${height} pixels` });
  return { width, height, channels: 3, data };
}

/** Width and height in the frame header, where the segments lead to one. */
function jpegFrame(bytes: Uint8Array): { width: number; height: number } | undefined {
  const word = (at: number) => bytes[at] * 256 + bytes[at + 1];
  for (let at = 2; at + 9 <= bytes.length && bytes[at] === 0xff;) {
    const marker = bytes[at + 1];
    // SOF0 to SOF15; the three others in this range are tables.
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) return { height: word(at + 5), width: word(at + 7) };
    // Any number of 0xff may stand before a marker.
    at += marker === 0xff ? 1 : 2 + word(at + 2);
  }
  return undefined;
}

function fromPng(file: Uint8Array, name: string): Image {
  const png = decodePng(checkedPng(file, name));
  const { width, height, channels, depth } = png;
  const data = new Uint8Array(width * height * 3);
  const sample = sampler(png.data, width, channels, depth);
  const full = depth === 16 ? 65535 : (1 << depth) - 1;
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++, to++) {
        if (png.palette !== undefined) {
          const colour = png.palette[sample(y, x, 0)];
          if (colour === undefined) throw errors.broken({ name, why: `palette has no entry ${sample(y, x, 0)}` });
          data[to] = colour[c];
        } else {
          data[to] = Math.floor((sample(y, x, channels < 3 ? 0 : c) * 255) / full + 0.5);
        }
      }
    }
  }
  return { width, height, channels: 3, data };
}

/** Samples below 8 bits come packed, high bits first, each row padded to a byte. */
function sampler(data: ArrayLike<number>, width: number, channels: number, depth: number) {
  if (depth >= 8) return (y: number, x: number, c: number) => data[(y * width + x) * channels + c];
  const rowBytes = Math.ceil((width * depth) / 8);
  return (y: number, x: number, _c: number) => {
    const bit = x * depth;
    return (data[y * rowBytes + (bit >> 3)] >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
  };
}

const channelsOf: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/**
 * The same PNG with only the chunks that make the picture, its dimensions and the length of its
 * inflated data checked: profiles and text are compressed too and need not be trusted.
 */
function checkedPng(file: Uint8Array, name: string): Uint8Array {
  const fail = (why: string) => errors.broken({ name, why });
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const kept: Uint8Array[] = [file.subarray(0, 8)];
  const picture: Uint8Array[] = [];
  let expected = 0;
  for (let at = 8; ;) {
    if (at + 12 > file.length) throw fail('ends before its last chunk');
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...file.subarray(at + 4, at + 8));
    if (at + 12 + length > file.length) throw fail(`chunk ${kind.replace(/[^\w]/g, '?')} ends after the file`);
    if (kind === 'IHDR') {
      if (length !== 13) throw fail('header of a wrong length');
      const [width, height] = [view.getUint32(at + 8), view.getUint32(at + 12)];
      if (width === 0 || height === 0) throw fail('no pixels');
      if (width * height > maxPixels) throw errors.tooLarge({ name, width, height });
      const bits = file[at + 16] * (channelsOf[file[at + 17]] ?? 4);
      // Interlacing splits rows into seven images with a filter byte and padding per row.
      expected = height * (1 + Math.ceil((width * bits) / 8)) + (file[at + 20] === 0 ? 0 : height * 16 + 4096);
    }
    if (kind === 'IDAT') picture.push(file.subarray(at + 8, at + 8 + length));
    if (['IHDR', 'PLTE', 'tRNS', 'IDAT', 'IEND'].includes(kind)) kept.push(file.subarray(at, at + 12 + length));
    if (kind === 'IEND') break;
    at += 12 + length;
  }
  if (expected === 0) throw fail('no header');
  let inflated = 0;
  const counter = new Unzlib((chunk) => {
    inflated += chunk.length;
    if (inflated > expected) throw fail(`its data inflates past ${expected} bytes`);
  });
  for (const part of picture) {
    for (let at = 0; at < part.length; at += 16384) counter.push(part.subarray(at, at + 16384));
  }
  const out = new Uint8Array(kept.reduce((sum, part) => sum + part.length, 0));
  let to = 0;
  for (const part of kept) { out.set(part, to); to += part.length; }
  return out;
}
