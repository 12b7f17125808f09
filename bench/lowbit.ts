/**
 * Low-bit matrix products of our kernels beside those of ONNX Runtime, on the same weights, in Node and in Chromium where
 * it is installed, beside a native twin and beside what two processes reach: `npm run bench lowbit`.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as ortModule from 'onnxruntime-web';
import { fastestBuild } from '../src/engine/kernels/lowbit.ts';
import { nodeTeam } from '../src/engine/kernels/lowbit-team-node.ts';
import { ortNode } from '../src/engine/ort-node.ts';
import { ortWeb, type OrtWebModule } from '../src/engine/ort-web.ts';
import { openBrowser } from '../test-browser/browser.ts';
import { floatMatMul, matMulNBits } from './lowbit/models.ts';
import { nativeLines } from './lowbit/native.ts';
import { workerScript } from '../test-browser/worker-script.ts';
import { commonContenders, onEngine, race } from './lowbit/race.ts';

const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 11);
console.log(`4096 × 4096 in groups of 32, ${runs} interleaved runs, one thread where none are named\n\nNode ${process.version}, ${fastestBuild()}`);
const common = await commonContenders(ortWeb(ortModule as unknown as OrtWebModule), nodeTeam(2).start);
const contenders = [...common, await onEngine('onnxruntime-node MatMulNBits, int8', ortNode, await matMulNBits(4)), await onEngine('onnxruntime-node MatMul f32', ortNode, await floatMatMul())];
console.log((await race(contenders, runs, { nbits: common.length - 2, float: common.length - 1 })).join('\n'));
for (const { close } of contenders) close?.();

/** Median times of processes that run at the same time. */
const together = (count: number): Promise<number[]> => Promise.all(Array.from({ length: count }, () => new Promise<number>((resolve, reject) => {
  const child = spawn(process.execPath, ['--import', 'tsx', fileURLToPath(new URL('./lowbit/alone.ts', import.meta.url))], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (part: Buffer) => { text += part.toString(); });
  child.on('close', (code) => (code === 0 ? resolve(Number(text)) : reject(new Error(`a process ended with ${code}`))));
})));
const [[alone], both] = [await together(1), await together(2)];
console.log(`\nmost that two threads can gain here: ${(alone * both.reduce((sum, time) => sum + 1 / time, 0)).toFixed(2)} times (one process ${alone.toFixed(2)} ms a product, two at once ${both.map((time) => time.toFixed(2)).join(' and ')} ms)`);

console.log(`\n${(await nativeLines(5)).join('\n')}`);

const worker = await workerScript();
const browser = await openBrowser('bench/lowbit/page.ts', { files: new Map([['made/worker.js', worker]]) }).catch((error: Error) => console.log(`\n${error.message}`));
if (browser !== undefined) {
  console.log(`\n${(await browser.call<string[]>('lines', runs)).join('\n')}`);
  await browser.close();
}
process.exit(0);
