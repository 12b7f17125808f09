/** Data sets in words, without the folders of the machine that they lay on. */
import { integer, plural } from './words.ts';

/** `inputs.npy (200 of 1000 samples, seed 0)`; counts that the name already tells are not repeated. */
export function dataText({ name, samples, items }: { readonly name: string; readonly samples: number; readonly items?: { readonly count: number; readonly name: string } }): string {
  const [, path, part = ''] = /^(.*?)( \(\d+ of \d+ .*\))?$/s.exec(name)!;
  const base = path.replace(/[/\\]+$/, '').replace(/^.*[/\\]/s, '');
  const counts = [...(part === '' ? [plural(samples, 'sample')] : []), ...(items === undefined ? [] : [`${integer(items.count)} ${items.name}`])];
  return [`${base}${part}`, ...counts].join(', ');
}
