import assert from 'node:assert/strict';
import { test } from 'node:test';
import { narrowBytes } from '../../src/engine/kernels/nested.ts';
import { narrowCodes } from '../../src/formats/nested-integer.ts';

test('the kernel narrows every code as the plain loop does, at every width, whatever the length', () => {
  for (const rule of ['round', 'floor'] as const) {
    for (let low = 2; low <= 8; low++) {
      for (const length of [0, 1, 15, 16, 255, 256, 40_001]) {
        const codes = Int8Array.from({ length }, (_, i) => i * 37);
        assert.deepEqual(narrowBytes(codes, low, rule), narrowCodes(codes, 8, low, rule), `${rule} ${low} ${length}`);
      }
    }
  }
});
