/** Codes of up to 16 bits in bytes, first code in the lowest bits, codes running across byte borders. */

/** Packs the low `bits` bits of each code from byte `at` on; the tail of the last byte is zero. */
export function packWide(codes: ArrayLike<number>, bits: number, out: Uint8Array, at: number): void {
  let held = 0;
  let count = 0;
  const mask = 2 ** bits - 1;
  for (let i = 0; i < codes.length; i++) {
    held |= (codes[i] & mask) << count;
    for (count += bits; count >= 8; count -= 8, held >>>= 8) out[at++] = held;
  }
  if (count > 0) out[at] = held;
}

/** `count` codes from byte `at` on. */
export function unpackWide(bytes: Uint8Array, bits: number, at: number, count: number): Uint16Array {
  const codes = new Uint16Array(count);
  const mask = 2 ** bits - 1;
  let held = 0;
  let have = 0;
  for (let i = 0; i < count; i++) {
    for (; have < bits; have += 8) held |= bytes[at++] << have;
    codes[i] = held & mask;
    held >>>= bits;
    have -= bits;
  }
  return codes;
}
