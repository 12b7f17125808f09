/** Hands a file to the browser's downloads. Its bytes stay where they are until then. */
import type { MadeFile } from './protocol.ts';

export function save({ path, blob }: MadeFile): void {
  const url = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement('a'), { href: url, download: path.slice(path.lastIndexOf('/') + 1) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
