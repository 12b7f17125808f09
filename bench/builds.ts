/**
 * Products with inputs of 4 and 8 bits, products that only add, and attention in codes: builds with and without relaxed
 * dot products in Chromium, and two threads beside one there and in Node: `npm run bench builds`.
 */
import { nodeTeam } from '../src/engine/kernels/lowbit-team-node.ts';
import { openBrowser } from '../test-browser/browser.ts';
import { workerScript } from '../test-browser/worker-script.ts';
import { threadLines } from './builds/threads.ts';

const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 11);
console.log(`medians (least–most) of ${runs} runs in turns\n\nNode ${process.version}, two threads\n${(await threadLines(nodeTeam(2).start, runs)).join('\n')}\n`);
const browser = await openBrowser('bench/builds/page.ts', { files: new Map([['made/worker.js', await workerScript()]]) });
console.log((await browser.call<string[]>('lines', runs)).join('\n'));
await browser.close();
process.exit(0);
