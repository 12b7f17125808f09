/**
 * The discrete Fourier transform of n real values as n real values: the real part at frequency 0, real and imaginary parts
 * of the frequencies below n / 2, and for even n the real part at n / 2. For the short rows of caches, any n.
 */

const waves = new Map<number, Float64Array>();

/** [n, n]: row i is the wave whose product with the values is the i-th number of the half spectrum. */
function wavesOf(n: number): Float64Array {
  let matrix = waves.get(n);
  if (matrix === undefined) {
    waves.set(n, matrix = Float64Array.from({ length: n * n }, (_, at) => {
      const i = Math.floor(at / n);
      const angle = (2 * Math.PI * ((((i + 1) >> 1) * (at % n)) % n)) / n;
      return i > 0 && i % 2 === 0 ? -Math.sin(angle) : Math.cos(angle);
    }));
  }
  return matrix;
}

export function halfSpectrum(x: ArrayLike<number>): Float64Array {
  const n = x.length;
  const matrix = wavesOf(n);
  const spectrum = new Float64Array(n);
  for (let i = 0; i < n; i++) for (let t = 0; t < n; t++) spectrum[i] += matrix[i * n + t] * x[t];
  return spectrum;
}

export function fromHalfSpectrum(spectrum: ArrayLike<number>): Float64Array {
  const n = spectrum.length;
  const matrix = wavesOf(n);
  const x = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    // Frequencies between the ends stand for their mirror images too.
    const share = ((i === 0 || (n % 2 === 0 && i === n - 1) ? 1 : 2) / n) * spectrum[i];
    for (let t = 0; t < n; t++) x[t] += share * matrix[i * n + t];
  }
  return x;
}
