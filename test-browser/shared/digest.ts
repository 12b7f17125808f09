/** Hashes that Node and the browser both make: what the tests compare in place of megabytes. */

/** SHA-256 of the bytes of each array, one after the other. */
export async function digest(...parts: readonly (ArrayBufferView | undefined)[]): Promise<string> {
  const views = parts.filter((part) => part !== undefined).map((part) => new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  const joined = new Uint8Array(views.reduce((sum, view) => sum + view.byteLength, 0));
  let at = 0;
  for (const view of views) { joined.set(view, at); at += view.byteLength; }
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', joined));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
