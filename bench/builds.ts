/** Products with inputs of 4 and 8 bits and attention in codes: builds with and without relaxed dot products in Chromium: `npm run bench builds`. */
import { openBrowser } from '../test-browser/browser.ts';

const browser = await openBrowser('bench/builds/page.ts');
console.log((await browser.call<string[]>('lines', Number(process.env.FEWBIT_BENCH_RUNS ?? 11))).join('\n'));
await browser.close();
