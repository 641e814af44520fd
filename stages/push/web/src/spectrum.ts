/** Spectra for the plots and for occlusion: a radix-2 FFT, the spectrogram, and a recording split into bands. */

/** Transform in place; `inverse` divides by the length. */
export function fft(re: Float64Array, im: Float64Array, inverse = false): void {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let size = 2; size <= n; size <<= 1) {
    const angle = ((inverse ? 2 : -2) * Math.PI) / size;
    const half = size >> 1;
    const cos = new Float64Array(half);
    const sin = new Float64Array(half);
    for (let k = 0; k < half; k++) {
      cos[k] = Math.cos(angle * k);
      sin[k] = Math.sin(angle * k);
    }
    for (let start = 0; start < n; start += size) {
      for (let k = 0; k < half; k++) {
        const a = start + k;
        const b = a + half;
        const x = re[b] * cos[k] - im[b] * sin[k];
        const y = re[b] * sin[k] + im[b] * cos[k];
        re[b] = re[a] - x;
        im[b] = im[a] - y;
        re[a] += x;
        im[a] += y;
      }
    }
  }
  if (inverse) {
    for (let i = 0; i < n; i++) {
      re[i] /= n;
      im[i] /= n;
    }
  }
}

export interface Spectrogram {
  readonly nFrames: number;
  readonly nBands: number;
  /** Level of each band in each frame, 0 at the floor and 1 at the peak; band 0 is the lowest. */
  readonly levels: Float32Array;
}

const N_FFT = 1024;
const RANGE_DB = 70;

/** Mel-spaced spectrogram of at most `nFrames` frames. */
export function spectrogram(samples: Float32Array, rate: number, nFrames: number, nBands: number): Spectrogram {
  const edges = bandEdges(rate, nBands + 1);
  const levels = new Float32Array(nFrames * nBands).fill(-Infinity);
  const re = new Float64Array(N_FFT);
  const im = new Float64Array(N_FFT);
  let peak = -Infinity;
  for (let t = 0; t < nFrames; t++) {
    const middle = Math.round(((t + 0.5) * samples.length) / nFrames);
    im.fill(0);
    for (let i = 0; i < N_FFT; i++) {
      re[i] = (samples[middle - N_FFT / 2 + i] ?? 0) * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / N_FFT));
    }
    fft(re, im);
    for (let b = 0; b < nBands; b++) {
      const low = Math.min(N_FFT / 2, Math.floor((edges[b] / rate) * N_FFT));
      const high = Math.min(N_FFT / 2, Math.max(low, Math.ceil((edges[b + 1] / rate) * N_FFT)));
      let power = 0;
      for (let k = low; k <= high; k++) power = Math.max(power, re[k] ** 2 + im[k] ** 2);
      const level = 10 * Math.log10(power + 1e-12);
      levels[t * nBands + b] = level;
      peak = Math.max(peak, level);
    }
  }
  for (let i = 0; i < levels.length; i++) levels[i] = Math.max(0, 1 + (levels[i] - Math.max(peak, -60)) / RANGE_DB);
  return { nFrames, nBands, levels };
}

/** `n` frequencies equally spaced on the mel scale, from 0 Hz to half the sample rate. */
export function bandEdges(rate: number, n: number): number[] {
  const top = 2595 * Math.log10(1 + rate / 2 / 700);
  return Array.from({ length: n }, (_, i) => 700 * (10 ** ((top * i) / (n - 1) / 2595) - 1));
}

/** Split a waveform into bands between mel-spaced edges, without phase shift; together they are the waveform. */
export function bands(samples: Float32Array, rate: number, nBands: number): Float32Array[] {
  let n = 1;
  while (n < samples.length) n <<= 1;
  const re = new Float64Array(n);
  const im = new Float64Array(n);
  re.set(samples);
  fft(re, im);
  const edges = bandEdges(rate, nBands + 1);
  return Array.from({ length: nBands }, (_, b) => {
    const low = b === 0 ? -1 : (edges[b] / rate) * n;
    const high = b === nBands - 1 ? n : (edges[b + 1] / rate) * n;
    const real = new Float64Array(n);
    const imaginary = new Float64Array(n);
    for (let k = 0; k < n; k++) {
      const bin = Math.min(k, n - k);
      if (bin > low && bin <= high) {
        real[k] = re[k];
        imaginary[k] = im[k];
      }
    }
    fft(real, imaginary, true);
    return Float32Array.from(real.subarray(0, samples.length));
  });
}

/** Weight of time segment `k` of `n` at sample `i` of `length`: raised-cosine edges; the weights of all segments add to 1. */
export function segmentWeight(i: number, length: number, k: number, n: number): number {
  const at = (i / length) * n - k;
  const edge = 0.15;
  const rise = k === 0 ? 1 : ramp((at + edge) / (2 * edge));
  const fall = k === n - 1 ? 1 : 1 - ramp((at - 1 + edge) / (2 * edge));
  return Math.min(rise, fall);
}

function ramp(x: number): number {
  return x <= 0 ? 0 : x >= 1 ? 1 : 0.5 - 0.5 * Math.cos(Math.PI * x);
}

export interface Saliency {
  readonly nSegments: number;
  readonly nBands: number;
  /** Fall of the score when a cell is silenced, segment by segment, lowest band first; negative where it rises. */
  readonly drops: Float32Array;
}

/** Silence each cell of a time-frequency grid in turn and note by how much the score falls (occlusion). */
export async function occlude(
  samples: Float32Array,
  rate: number,
  grid: { nSegments: number; nBands: number },
  scoreOf: (samples: Float32Array) => Promise<number>,
  progress: (done: number, of: number) => void = () => undefined,
): Promise<Saliency> {
  const { nSegments, nBands } = grid;
  const before = await scoreOf(samples);
  const parts = bands(samples, rate, nBands);
  const drops = new Float32Array(nSegments * nBands);
  for (let k = 0; k < nSegments; k++) {
    for (let b = 0; b < nBands; b++) {
      const without = samples.map((value, i) => value - parts[b][i] * segmentWeight(i, samples.length, k, nSegments));
      drops[k * nBands + b] = before - (await scoreOf(without));
      progress(k * nBands + b + 1, drops.length);
    }
  }
  return { nSegments, nBands, drops };
}
