/** The text that comes with the repository, as windows of bytes. */
import { tokenWindows, type Dataset } from '../../observe/data/index.ts';
import { own, readBytes } from './own-node.ts';

/** `train` or `heldout`; windows of so many bytes, `stride` apart, at most `bytes` of the text. */
export async function shakespeareBytes(part: 'train' | 'heldout', window: number, { stride = window, bytes = Infinity }: { readonly stride?: number; readonly bytes?: number } = {}): Promise<Dataset> {
  const text = await readBytes(own(`shakespeare/${part}.txt`));
  return tokenWindows(`${part}.txt`, text.subarray(0, Math.min(bytes, text.length)), { window, stride });
}
