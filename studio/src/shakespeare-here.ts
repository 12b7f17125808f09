/** Takes the place of the reader of Node where reproductions are built into the page: the same text from beside it. */
import { tokenWindows, type Dataset } from '../../src/observe/data/index.ts';

export async function shakespeareBytes(part: 'train' | 'heldout', window: number, { stride = window, bytes = Infinity }: { readonly stride?: number; readonly bytes?: number } = {}): Promise<Dataset> {
  const answer = await fetch(new URL(`../examples/shakespeare/${part}.txt`, self.location.href));
  if (!answer.ok) throw new Error(`${part}.txt: the server answers ${answer.status}`);
  const text = new Uint8Array(await answer.arrayBuffer());
  return tokenWindows(`${part}.txt`, text.subarray(0, Math.min(bytes, text.length)), { window, stride });
}
