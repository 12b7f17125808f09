/** Groups of 32 columns written as the WebGPU kernels read them (engine/webgpu/matrix-layout.ts). */
import { formOf, layoutBytes, sideCount, type MatrixLayout } from '../engine/webgpu/matrix-layout.ts';
import { f32ToF16 } from '../numeric/half.ts';

/** Some rows of a matrix: codes, or values, and what goes with their groups. */
export interface PackedRows { readonly codes: Uint8Array; readonly sides: Uint8Array }

export interface GroupWriter extends PackedRows {
  /** 32 codes from `from` on: not negative, but for signed ones of eight bits. */
  putCodes(group: number, codes: ArrayLike<number>, from: number): void;
  /** Scale and minimum, or two scales, in the order of `side`. */
  putSides(group: number, ...sides: readonly number[]): void;
  /** Of the 256 columns that begin at `group`: factors of scales and minima, and a byte for each 16 columns. */
  putFine(group: number, d: number, dmin: number, bytes: ArrayLike<number>): void;
}

export function groupWriter(layout: MatrixLayout, groups: number): GroupWriter {
  const form = formOf(layout);
  const bytes = layoutBytes(layout);
  const [codes, sides] = [new Uint8Array(groups * bytes.codes), new Uint8Array(groups * bytes.sides)];
  const [halves, floats] = [new Uint16Array(sides.buffer, 0, sides.byteLength >> 1), new Float32Array(sides.buffer, 0, sides.byteLength >> 2)];
  const count = sideCount(form);
  return {
    codes, sides,
    putCodes(group, from, first) {
      const at = group * bytes.codes;
      if (form.bits === 8) for (let i = 0; i < 32; i++) codes[at + i] = from[first + i];
      else if (form.bits === 4) for (let i = 0; i < 16; i++) codes[at + i] = from[first + i] | (from[first + 16 + i] << 4);
      else {
        for (let i = 0; i < 32; i++) {
          const code = from[first + i];
          codes[at + 4 * (i >> 4) + (i & 3)] |= (code & 3) << (2 * ((i >> 2) & 3));
          if (form.bits === 3) codes[at + 8 + (i & 3)] |= (code >> 2) << (i >> 2);
        }
      }
    },
    putSides(group, ...given) {
      for (let i = 0; i < count; i++) {
        if (form.sides === 'half') halves[group * count + i] = f32ToF16(given[i]);
        else floats[group * count + i] = given[i];
      }
    },
    putFine(group, d, dmin, scaleBytes) {
      const at = (group / 8) * 20;
      halves[at / 2] = f32ToF16(d);
      halves[at / 2 + 1] = f32ToF16(dmin);
      sides.set(scaleBytes, at + 4);
    },
  };
}
