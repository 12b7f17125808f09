// One file quantized by the libllama inside node-llama-cpp: node bench/llama-quantize.mjs IN OUT FTYPE TYPE THREADS.
// Every tensor takes the one type ("pure"). Prints the seconds from the call to the synced output, and those of its processor, as JSON.
import { closeSync, existsSync, fsyncSync, openSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';

const [input, output, ftype, type, threads] = process.argv.slice(2);
const bins = fileURLToPath(new URL(`../node_modules/@node-llama-cpp/linux-${process.arch}/bins/linux-${process.arch}/`, import.meta.url));
const named = (prefix) => bins + readdirSync(bins).find((name) => name.startsWith(prefix));
if (!existsSync(bins)) process.exit(3);
koffi.load(`${bins}libggml-base.so`, { global: true, lazy: true });
const lib = koffi.load(named('libllama.v'), { lazy: true });

// nthread, ftype, output type, embedding type as int32; allow_requantize, quantize_output_tensor, only_copy, pure, keep_split,
// dry_run as bytes; four pointers; the limit of memory.
const Params = koffi.struct({ bytes: koffi.array('uint8', 64) });
const defaults = Buffer.from(lib.func('llama_model_quantize_default_params', Params, []).call(null).bytes);
if (defaults.readInt32LE(4) !== 7 || defaults.readInt32LE(8) !== defaults.readInt32LE(12) || defaults[17] !== 1 || defaults[19] !== 0) {
  throw new Error(`llama_model_quantize_params has another layout: ${defaults.toString('hex')}`);
}
defaults.writeInt32LE(Number(threads), 0);
defaults.writeInt32LE(Number(ftype), 4);
defaults.writeInt32LE(Number(type), 8);
defaults.writeInt32LE(Number(type), 12);
defaults[19] = 1;
const quantize = lib.func('uint32_t llama_model_quantize(const char *input, const char *output, const uint8_t *params)');
lib.func('void llama_backend_init()')();
const start = performance.now();
const before = process.cpuUsage();
const failed = quantize(input, output, defaults);
if (failed !== 0) throw new Error(`llama_model_quantize returned ${failed}`);
const file = openSync(output, 'r');
fsyncSync(file);
closeSync(file);
const { user, system } = process.cpuUsage(before);
console.log(JSON.stringify({ seconds: (performance.now() - start) / 1000, cpu: (user + system) / 1e6 }));
