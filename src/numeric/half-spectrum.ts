/**
 * The discrete Fourier transform of n real values as n real values: the real part at frequency 0, real and imaginary parts
 * of the frequencies below n / 2, and for even n the real part at n / 2. For the short rows of caches, any n.
 */

const cosines = new Map<number, Float64Array>();

/** cos(2πk / n) for k < n. */
function cosinesOf(n: number): Float64Array {
  let table = cosines.get(n);
  if (table === undefined) cosines.set(n, table = Float64Array.from({ length: n }, (_, k) => Math.cos((2 * Math.PI * k) / n)));
  return table;
}

/** Frequency of the stored value `i`, and whether it is an imaginary part. */
const place = (i: number): { readonly frequency: number; readonly imaginary: boolean } => ({ frequency: (i + 1) >> 1, imaginary: i > 0 && i % 2 === 0 });

/** cos or −sin of 2π · frequency · t / n; a sine is a cosine a quarter of a turn earlier. */
function wave(n: number, i: number): (t: number) => number {
  const { frequency, imaginary } = place(i);
  if (!imaginary) {
    const table = cosinesOf(n);
    return (t) => table[(frequency * t) % n];
  }
  const table = cosinesOf(4 * n);
  return (t) => table[(4 * frequency * t + n) % (4 * n)];
}

export function halfSpectrum(x: ArrayLike<number>): Float64Array {
  const n = x.length;
  return Float64Array.from({ length: n }, (_, i) => {
    const at = wave(n, i);
    let sum = 0;
    for (let t = 0; t < n; t++) sum += x[t] * at(t);
    return sum;
  });
}

export function fromHalfSpectrum(spectrum: ArrayLike<number>): Float64Array {
  const n = spectrum.length;
  const x = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const at = wave(n, i);
    // Frequencies between the ends stand for their mirror images too.
    const share = (i === 0 || (n % 2 === 0 && i === n - 1) ? 1 : 2) / n;
    for (let t = 0; t < n; t++) x[t] += share * spectrum[i] * at(t);
  }
  return x;
}
