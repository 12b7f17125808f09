/** Every crafted file as a user would meet it: written to disk and given to `fewbit inspect` or `fewbit quantize`. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { HostileCase } from './answers.ts';
import { hostileGguf } from './gguf-cases.ts';
import { hostileJson } from './json-cases.ts';
import { fine, hostileConfigs, hostileIndexes, hostileTokenizers, type Files, type Row } from './model-folder-cases.ts';
import { hostileOnnx } from './onnx-cases.ts';
import { hostileExternal, inside } from './onnx-external-cases.ts';
import { hostileSafetensors } from './safetensors-cases.ts';

export interface CliCase {
  readonly format: string;
  readonly name: string;
  readonly command: 'inspect' | 'quantize';
  /** What the line must hold; absent where the command cannot know what the file was meant to be. */
  readonly expect: RegExp | undefined;
  /** Writes what the command reads, below `folder`; gives its path. */
  write(folder: string): Promise<string>;
  readonly options: readonly string[];
}

/** As much of a case as a file can hold: of those that stand for terabytes, a file with a hole. */
async function put(path: string, bytes: HostileCase['bytes'] | string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  const made = typeof bytes === 'function' ? bytes() : bytes;
  const content = typeof made === 'string' || made instanceof Uint8Array ? made : made.head;
  await writeFile(path, content);
  if (content !== made) await truncate(path, (made as { size: number }).size);
  return path;
}
async function putFolder(folder: string, files: Readonly<Record<string, HostileCase['bytes'] | string>>): Promise<string> {
  for (const [name, bytes] of Object.entries(files)) await put(join(folder, name), bytes);
  return folder;
}

const toGguf = ['--to', 'gguf', '--weights', 'q8_0'];
const dynamic = ['--bits', '8', '--activations', 'dynamic', '--no-verdict'];
const startsLikeGguf = ({ bytes }: HostileCase): boolean => {
  const made = typeof bytes === 'function' ? bytes() : bytes instanceof Uint8Array ? bytes : bytes.head;
  return new TextDecoder('latin1').decode(made.subarray(0, 4)) === 'GGUF';
};

const inspected = (format: string, file: string, cases: readonly HostileCase[], expect = (found: HostileCase): RegExp | undefined => found.expect): CliCase[] =>
  cases.map((found) => ({ format, name: found.name, command: 'inspect', expect: expect(found), write: (folder) => put(join(folder, file), found.bytes), options: [] }));
const quantized = (format: string, cases: readonly HostileCase[], options: readonly string[], write: (found: HostileCase, folder: string) => Promise<string>, expect = (found: HostileCase): RegExp | undefined => found.expect): CliCase[] =>
  cases.map((found) => ({ format, name: found.name, command: 'quantize', expect: expect(found), write: (folder) => write(found, folder), options }));

const ofFolder = (format: string, rows: readonly Row[]): CliCase[] => rows.map(([name, files, expect]) => ({
  format, name, command: 'quantize', expect, options: [...toGguf, '--data', fileURL],
  write: (folder) => putFolder(join(folder, 'model'), (typeof files === 'function' ? files() : files) as Files),
}));
/** Some text to judge on: this file. */
const fileURL = new URL(import.meta.url).pathname;
const asJson = (format: string, file: string): CliCase[] =>
  quantized(format, hostileJson, [...toGguf, '--data', fileURL], ({ bytes }, folder) => putFolder(join(folder, 'model'), { ...fine, [file]: bytes }),
    // Files of this size are refused before they are parsed.
    ({ expect, name }) => (/million|MB|terabyte/.test(name) ? undefined : expect));

const onnxFolder = async ({ bytes, folder: beside = {} }: (typeof hostileOnnx)[number], folder: string): Promise<string> => {
  await putFolder(folder, beside);
  return put(join(folder, 'hostile.onnx'), bytes);
};
/** On a disk there always is a folder, and `inspect` goes by the content. */
const onnxExpect = ({ name, expect }: HostileCase): RegExp => (name === 'external data and no folder' ? /missing/ : name === 'a safetensors header' ? /tag|no tensors/ : expect);
const ggufExpect = (found: HostileCase): RegExp | undefined => (startsLikeGguf(found) ? found.expect : undefined);

/** All of them, format by format. */
export const cliCases: readonly CliCase[] = [
  ...inspected('safetensors', 'hostile.safetensors', hostileSafetensors, ({ name, expect }) => (name === 'a GGUF file' ? /header does not end/ : expect)),
  ...quantized('safetensors', hostileSafetensors, [...toGguf, '--no-verdict'], ({ bytes }, folder) => putFolder(join(folder, 'model'), { ...fine, 'model.safetensors': bytes })),
  ...inspected('gguf', 'hostile.gguf', hostileGguf, ggufExpect),
  ...quantized('gguf', hostileGguf, [...toGguf, '--no-verdict'], ({ bytes }, folder) => put(join(folder, 'hostile.gguf'), bytes), ggufExpect),
  ...hostileOnnx.flatMap((found): CliCase[] => (['inspect', 'quantize'] as const).map((command) => (
    { format: 'onnx', name: found.name, command, expect: onnxExpect(found), options: command === 'inspect' ? [] : dynamic, write: (folder) => onnxFolder(found, folder) }))),
  ...hostileExternal.flatMap((found, i): CliCase[] => (['inspect', 'quantize'] as const).map((command) => (
    { format: 'onnx external data', name: found.name, command, expect: found.expect, options: command === 'inspect' ? [] : dynamic, write: () => put(join(inside, `hostile-${i}.onnx`), found.bytes) }))),
  ...ofFolder('config JSON', hostileConfigs), ...asJson('config JSON', 'config.json'),
  ...ofFolder('tokenizer JSON', hostileTokenizers), ...asJson('tokenizer JSON', 'tokenizer.json'),
  ...ofFolder('safetensors index', hostileIndexes),
];

export interface Answer { readonly code: number | null; readonly out: string; readonly err: string; readonly seconds: number; readonly megabytes: number }

/** What the process took is told by itself, when it ends. */
const tell = `data:text/javascript,${encodeURIComponent("import { writeSync } from 'node:fs'; process.on('exit', () => { const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage(); writeSync(3, [(userCPUTime + systemCPUTime) / 1e6, maxRSS / 1024].join(' ')); });")}`;

/** Runs the command line in a process of its own; `entry` is what Node gets before the words. */
export function run(entry: readonly string[], words: readonly string[]): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', tell, ...entry, ...words], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
    const texts = ['', '', ''];
    for (const i of [1, 2, 3] as const) child.stdio[i]!.on('data', (chunk: Buffer) => { texts[i - 1] += chunk.toString(); });
    const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      const [seconds = NaN, megabytes = NaN] = texts[2].split(' ').map(Number);
      resolve({ code, out: texts[0], err: texts[1], seconds, megabytes });
    });
  });
}

/** Runs one case in a folder of its own; gives what is wrong with the answer, or nothing. `starting` seconds of its processor time go into compiling the sources, and are not counted. */
export async function complaint(found: CliCase, folder: string, entry: readonly string[], answer: (answer: Answer) => void = () => {}, starting = 0): Promise<string | undefined> {
  const path = await found.write(folder);
  const output = join(folder, 'output');
  const given = await run(entry, [found.command, path, ...found.options, ...(found.command === 'quantize' ? ['-o', output] : [])]);
  answer(given);
  const { code, out, err, seconds, megabytes } = given;
  const lines = err.split('\n').slice(0, -1);
  const line = lines.find((text) => text.startsWith('fewbit: ')) ?? '';
  if (code !== 1) return `exit code ${code}: ${err.slice(0, 500)}`;
  if (out !== '') return `standard output: ${out.slice(0, 200)}`;
  // One line, and one more where there is a way out.
  if (line === '' || lines.length > 2 || (lines.length === 2 && !lines[1].startsWith('  '))) return `not one line: ${err.slice(0, 500)}`;
  // The path of a test has a length of its own.
  if (line.length > 450) return `${line.length} characters: ${line}`;
  if (found.expect !== undefined && !found.expect.test(line)) return `does not tell ${found.expect}: ${line}`;
  if (existsSync(output)) return 'the output folder was made';
  if (!(seconds - starting < 2)) return `took ${seconds.toFixed(1)} s`;
  if (!(megabytes < 300)) return `took ${megabytes.toFixed(0)} MB`;
  return undefined;
}
