/** WAV files at their own sample rate, which a browser's decoder would resample. Other formats go through it. */

export interface Sound {
  readonly channels: readonly Float32Array<ArrayBuffer>[];
  readonly sampleRate: number;
  /** Whether the samples are floating-point numbers, whose full scale is a convention. */
  readonly floating: boolean;
  /** Whether the file ends before its header says. */
  readonly cutShort: boolean;
}

export const LONGEST_S = 3600;

/** The sentence about a sound that is too long for a page. */
export function tooLong(seconds: number): string {
  return `This file lasts ${Math.round(seconds / 60)} minutes; this page takes at most ${LONGEST_S / 60}. Cut it first.`;
}

/** Read a WAV file; undefined if it is none that is read here, so that the browser's decoder may try; throws if it is too long. */
export function readWav(content: ArrayBuffer): Sound | undefined {
  const view = new DataView(content);
  const name = (at: number): string => String.fromCharCode(...new Uint8Array(content, at, 4));
  if (content.byteLength < 44 || name(0) !== "RIFF" || name(8) !== "WAVE") return undefined;
  let format: { code: number; nChannels: number; rate: number; bits: number } | undefined;
  for (let at = 12; at + 8 <= content.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    const start = at + 8;
    if (name(at) === "fmt " && size >= 16 && start + 16 <= content.byteLength) {
      const extended = view.getUint16(start, true) === 0xfffe && size >= 40 && start + 26 <= content.byteLength;
      format = {
        code: view.getUint16(extended ? start + 24 : start, true),
        nChannels: view.getUint16(start + 2, true),
        rate: view.getUint32(start + 4, true),
        bits: view.getUint16(start + 14, true),
      };
    } else if (name(at) === "data" && format) {
      const end = Math.min(start + size, content.byteLength);
      return samplesOf(view, start, end, format, end < start + size);
    }
    at = start + size + (size % 2);
  }
  return undefined;
}

function samplesOf(
  view: DataView,
  start: number,
  end: number,
  format: { code: number; nChannels: number; rate: number; bits: number },
  cutShort: boolean,
): Sound | undefined {
  const { code, nChannels, rate, bits } = format;
  const read = reader(view, code, bits);
  if (!read || nChannels < 1 || nChannels > 64 || rate < 1) return undefined;
  const bytes = bits / 8;
  const nFrames = Math.floor((end - start) / (bytes * nChannels));
  if (nFrames < 1) return undefined;
  if (nFrames / rate > LONGEST_S) throw new Error(tooLong(nFrames / rate));
  const channels = Array.from({ length: nChannels }, () => new Float32Array(nFrames));
  for (let i = 0, at = start; i < nFrames; i++) {
    for (let c = 0; c < nChannels; c++, at += bytes) channels[c][i] = read(at);
  }
  return { channels, sampleRate: rate, floating: code === 3, cutShort };
}

function reader(view: DataView, code: number, bits: number): ((at: number) => number) | undefined {
  if (code === 3 && bits === 32) return (at) => view.getFloat32(at, true);
  if (code === 3 && bits === 64) return (at) => view.getFloat64(at, true);
  if (code !== 1) return undefined;
  if (bits === 8) return (at) => (view.getUint8(at) - 128) / 128;
  if (bits === 16) return (at) => view.getInt16(at, true) / 2 ** 15;
  if (bits === 24) return (at) => ((view.getInt8(at + 2) << 16) | view.getUint16(at, true)) / 2 ** 23;
  if (bits === 32) return (at) => view.getInt32(at, true) / 2 ** 31;
  return undefined;
}

/** Write mono samples as a 16-bit WAV file. */
export function writeWav(samples: Float32Array, sampleRate: number): Blob {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at: number, value: string): void => {
    for (let i = 0; i < value.length; i++) view.setUint8(at + i, value.charCodeAt(i));
  };
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, 2 * sampleRate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  for (let i = 0; i < samples.length; i++) {
    view.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, Math.round(samples[i] * 32768))), true);
  }
  return new Blob([view.buffer as ArrayBuffer], { type: "audio/wav" });
}
