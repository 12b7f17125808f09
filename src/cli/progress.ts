/** Progress on standard error: one line per finished item, and on a terminal a live bar under them. */
import { harmless } from '../errors.ts';
import type { Progress } from '../jobs/progress.ts';

const barWidth = 24;

export function terminalProgress(stream: NodeJS.WriteStream = process.stderr): Progress {
  const live = stream.isTTY === true;
  let label = '';
  let total = 0;
  let started = 0;
  let shown = false;

  const clear = () => { if (shown) stream.write('\r\x1b[2K'); shown = false; };
  const draw = (done: number) => {
    if (!live || total === 0) return;
    const fraction = Math.min(done / total, 1);
    const filled = Math.floor(fraction * barWidth);
    const elapsed = (Date.now() - started) / 1000;
    const left = fraction > 0.02 ? ` ${Math.ceil(elapsed / fraction - elapsed)} s left` : '';
    stream.write(`\r\x1b[2K${label} ${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)} ${Math.floor(fraction * 100)} %${left}`);
    shown = true;
  };
  return {
    phase(text, units = 0) {
      clear();
      // Names of tensors come from files.
      label = harmless(text);
      total = units;
      started = Date.now();
      if (!live || units === 0) stream.write(`${label}\n`);
      else draw(0);
    },
    advance: draw,
    line(text) { clear(); stream.write(`${harmless(text)}\n`); },
    end: clear,
  };
}
