import { describe, expect, it } from "vitest";

import { resample } from "../src/audio";
import { bands, fft, occlude, segmentWeight } from "../src/spectrum";
import { readWav, writeWav } from "../src/wav";

const noise = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * i * 0.013) * 0.5);

describe("spectra", () => {
  it("are those of the definition", () => {
    const re = Float64Array.from(noise(16));
    const im = new Float64Array(16);
    const given = [...re];
    fft(re, im);
    for (let k = 0; k < 16; k++) {
      const sum = given.reduce((total, value, i) => total + value * Math.cos((2 * Math.PI * i * k) / 16), 0);
      expect(re[k]).toBeCloseTo(sum, 10);
    }
    fft(re, im, true);
    given.forEach((value, i) => expect(re[i]).toBeCloseTo(value, 12));
  });

  it("fall into bands that are the waveform together", () => {
    const samples = noise(3000);
    const parts = bands(samples, 8000, 6);
    samples.forEach((value, i) => expect(parts.reduce((sum, part) => sum + part[i], 0)).toBeCloseTo(value, 5));
  });

  it("have segments whose weights add to 1", () => {
    for (let i = 0; i < 1000; i++) {
      const sum = Array.from({ length: 7 }, (_, k) => segmentWeight(i, 1000, k, 7)).reduce((a, b) => a + b);
      expect(sum).toBeCloseTo(1, 12);
    }
  });
});

describe("occlusion", () => {
  it("finds the cell that the score hangs on", async () => {
    const rate = 8000;
    const samples = Float32Array.from({ length: 8000 }, (_, i) => (i >= 4000 && i < 6000 ? Math.sin((2 * Math.PI * 300 * i) / rate) : 0));
    const energy = async (each: Float32Array): Promise<number> => each.reduce((sum, value) => sum + value * value, 0) / 1000;
    const { drops } = await occlude(samples, rate, { nSegments: 4, nBands: 6 }, energy);
    const most = drops.indexOf(Math.max(...drops));
    expect(Math.floor(most / 6)).toBe(2);
    expect(most % 6).toBeLessThan(2);
  });
});

describe("WAV files", () => {
  it("are read as they were written, at their own rate", async () => {
    const samples = noise(100);
    const sound = readWav(await writeWav(samples, 22050).arrayBuffer());
    expect(sound?.sampleRate).toBe(22050);
    expect(sound?.cutShort).toBe(false);
    samples.forEach((value, i) => expect(Math.abs((sound?.channels[0][i] ?? 9) - value)).toBeLessThan(2 ** -15));
  });

  it("that are no WAV files are left to the browser, and short ones are told", async () => {
    expect(readWav(new ArrayBuffer(100))).toBeUndefined();
    const whole = await writeWav(noise(100), 8000).arrayBuffer();
    expect(readWav(whole.slice(0, 100))?.cutShort).toBe(true);
    for (let at = 0; at < 44; at++) {
      const bad = new Uint8Array(whole.slice(0));
      bad[at] = 255;
      readWav(bad.buffer);
    }
  });
});

describe("the resampler", () => {
  it("keeps a low tone", () => {
    const tone = Float32Array.from({ length: 4800 }, (_, i) => Math.sin((2 * Math.PI * 200 * i) / 48000));
    const found = resample(tone, 48000, 16000);
    for (let i = 200; i < 1400; i++) expect(found[i]).toBeCloseTo(Math.sin((2 * Math.PI * 200 * i) / 16000), 3);
  });
});
