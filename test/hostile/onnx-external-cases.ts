/** ONNX models on a real disk whose external data leads elsewhere, or is not what it seems. Who imports this removes `root`. */
import { execFileSync } from 'node:child_process';
import { link, mkdir, mkdtemp, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cases, type HostileCase } from './answers.ts';
import { external, graph, model, num, relu, sub, type Bytes } from './onnx-bytes.ts';

export const root = await mkdtemp(join(tmpdir(), 'fewbit-external-'));
/** The folder of the model. */
export const inside = join(root, 'model');
await mkdir(join(inside, 'folder'), { recursive: true });
await writeFile(join(root, 'secret'), new Uint8Array(16));
await writeFile(join(inside, 'w.bin'), new Uint8Array(64));
await writeFile(join(inside, 'folder/deep.bin'), new Uint8Array(16));
await writeFile(join(inside, 'vast.bin'), '');
await truncate(join(inside, 'vast.bin'), 2 ** 40);
await symlink('../secret', join(inside, 'link'));
await symlink('link', join(inside, 'link-to-link'));
await symlink('..', join(inside, 'up'));
await symlink('/', join(inside, 'slash'));
await symlink('loop', join(inside, 'loop'));
await symlink('nowhere', join(inside, 'dangling'));
await symlink('/dev/zero', join(inside, 'endless'));
await link(join(root, 'secret'), join(inside, 'hard'));
execFileSync('mkfifo', [join(inside, 'pipe')]);

/** A weight of four float32 values, external. */
const weight = (name: string, ...entries: [string, string][]): Bytes => sub(5, num(1, 4), num(2, 1), sub(8, name), ...external(...entries));
export const at = (location: string, ...entries: [string, string][]): Uint8Array => model(graph(relu(), weight('w', ['location', location], ...entries)));
export const spans = (...offsets: number[]): Uint8Array =>
  model(graph(relu(), ...offsets.map((offset, i) => weight(`w${i}`, ['location', 'w.bin'], ['offset', String(offset)], ['length', '16']))));

const beside = /beside the model/;
const leaves = /leaves the folder/;
export const hostileExternal: readonly HostileCase[] = cases([
  ['a file above', at('../secret'), beside],
  ['a file above, by way of a folder', at('folder/../../secret'), beside],
  ['a file above, by way of dots and slashes', at('.//../secret'), beside],
  ['a file above, with backslashes', at('..\\secret'), beside],
  ['a file above, percent-encoded', at('%2e%2e%2fsecret'), /missing/],
  ['a file above, by full-width dots', at('．．/secret'), /missing/],
  ['an absolute path', at(join(root, 'secret')), beside],
  ['an absolute path with two slashes', at(`/${join(root, 'secret')}`), beside],
  ['a home folder', at('~/secret'), /missing/],
  ['a drive', at('C:secret'), beside],
  ['a share of another machine', at('\\\\host\\share\\secret'), beside],
  ['a URL of a file', at('file:///etc/passwd'), beside],
  ['a stream of a file', at('w.bin:stream'), beside],
  ['a name with a line break', at('w.bin\nx'), beside],
  ['a name with a NUL', at('w.bin\u0000x'), beside],
  ['a name of a slash', at('/'), beside],
  ['a name of a dot', at('.'), beside],
  ['a name of two dots', at('..'), beside],
  ['an empty name', at(''), /names no file/],
  ['a name that ends in a slash', at('folder/'), beside],
  ['a name of 10 000 characters', at('x'.repeat(10_000)), /ENAMETOOLONG|missing/],
  ['a name in a file', at('w.bin/x'), /missing/],
  ['a symbolic link to a file outside', at('link'), leaves],
  ['a link to a link', at('link-to-link'), leaves],
  ['a file behind a link to the folder above', at('up/secret'), leaves],
  ['a file behind a link to the root', at('slash/etc/passwd'), leaves],
  ['a link to itself', at('loop'), /ELOOP|leaves/],
  ['a link to nothing', at('dangling'), /missing/],
  ['a link to a device without end', at('endless'), leaves],
  ['a hard link to a file outside', at('hard'), /under 2 names/],
  ['a pipe', at('pipe'), /missing|not a regular file/],
  ['a folder', at('folder'), /missing|directory/],
  ['an offset at the end', at('w.bin', ['offset', '64'], ['length', '16']), /ends at byte 80/],
  ['an offset beyond the end', at('w.bin', ['offset', '100']), /ends at byte/],
  ['an offset of 2^53 − 1', at('w.bin', ['offset', '9007199254740991'], ['length', '16']), /ends at byte/],
  ['an offset of 2^64 − 16', at('w.bin', ['offset', '18446744073709551600'], ['length', '16']), /not a byte count/],
  ['a negative offset', at('w.bin', ['offset', '-16']), /not a byte count/],
  ['an offset with an exponent', at('w.bin', ['offset', '1e1']), /not a byte count/],
  ['an offset with a space', at('w.bin', ['offset', ' 16']), /not a byte count/],
  ['an offset of Arabic digits', at('w.bin', ['offset', '١٦']), /not a byte count/],
  ['an empty offset', at('w.bin', ['offset', '']), /not a byte count/],
  ['a negative length', at('w.bin', ['length', '-1']), /not a byte count/],
  ['a length of zero', at('w.bin', ['length', '0']), /needs 16 bytes, found 0/],
  ['a length of 2^63', at('w.bin', ['length', '9223372036854775808']), /not a byte count/],
  ['a length of a terabyte', at('vast.bin', ['length', '1099511627776']), /needs 16 bytes/],
  ['a terabyte without a length', at('vast.bin'), /needs 16 bytes/],
  ['two tensors that overlap by half', spans(0, 8), /w0 and w1 overlap/],
  ['a chain of tensors that overlap', spans(0, 16, 24, 40), /w1 and w2 overlap/],
  ['20 tensors in one place', spans(...Array<number>(20).fill(0)), /more than 16 tensors in the same bytes/],
]);
