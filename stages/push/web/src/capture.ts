/** Sounds from the microphone and from files. */

import type { Read } from "./engine";
import { LONGEST_S, tooLong, type Sound } from "./wav";

export interface Microphone {
  readonly sampleRate: number;
  stop(): void;
}

const UNHEARD: Readonly<Record<string, string>> = {
  NotAllowedError: "The microphone is not allowed. Allow it in the browser's settings for this page, or choose a file.",
  NotFoundError: "No microphone was found. Connect one, or choose a file.",
  NotReadableError: "The microphone cannot be used, perhaps since another program uses it. Close that one, or choose a file.",
};

async function stream(): Promise<MediaStream> {
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 },
    });
  } catch (error) {
    throw new Error(UNHEARD[(error as Error).name] ?? `The microphone cannot be used (${String(error)}). Choose a file.`, { cause: error });
  }
}

export interface Taker {
  /** Gets mono blocks as they come. */
  take(samples: Float32Array): void;
  /** Called where the microphone is disconnected or its permission is taken back. */
  lost(): void;
}

/** Start the microphone. Nothing is filtered, levelled or sent. */
export async function openMicrophone(recorder: string, { take, lost }: Taker): Promise<Microphone> {
  const given = await stream();
  const context = new AudioContext();
  const stop = (): void => {
    for (const track of given.getTracks()) track.stop();
    void context.close();
  };
  try {
    await context.audioWorklet.addModule(recorder);
    const source = context.createMediaStreamSource(given);
    const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = (event: MessageEvent<Float32Array>) => take(event.data);
    source.connect(node);
    await context.resume();
    for (const track of given.getTracks()) track.addEventListener("ended", lost);
  } catch (error) {
    stop();
    throw error;
  }
  return { sampleRate: context.sampleRate, stop };
}

const DECODED_RATE = 48000;
const LARGEST = 512 * 2 ** 20;

/** Decode a file: WAV at its own rate by this page's worker, every other format by the browser, at 48 kHz. */
export async function decodeFile(file: Blob, read: (content: ArrayBuffer) => Promise<Read>): Promise<Sound> {
  if (file.size > LARGEST) throw new Error("This file is larger than 512 MiB. Cut it first.");
  if (file.size === 0) throw new Error("This file is empty. Choose another one.");
  const found = await read(await file.arrayBuffer());
  if ("sound" in found) return found.sound;
  const seconds = await duration(file); // a decoded hour takes gigabytes, so that its length is looked at first
  if (seconds > LONGEST_S) throw new Error(tooLong(seconds));
  try {
    const decoded = await new OfflineAudioContext(1, 1, DECODED_RATE).decodeAudioData(found.content);
    const channels = Array.from({ length: decoded.numberOfChannels }, (_, i) => decoded.getChannelData(i));
    return { channels, sampleRate: decoded.sampleRate, floating: false, cutShort: false };
  } catch {
    throw new Error("This browser cannot decode this file: it may be no sound. Try WAV, FLAC, MP3, Ogg or M4A.");
  }
}

/** How long a file lasts in seconds, as far as the browser can tell without decoding it; 0 where it cannot. */
function duration(file: Blob): Promise<number> {
  const address = URL.createObjectURL(file);
  const player = document.createElement("audio");
  return new Promise<number>((resolve) => {
    player.addEventListener("loadedmetadata", () => resolve(Number.isFinite(player.duration) ? player.duration : 0));
    player.addEventListener("error", () => resolve(0));
    player.preload = "metadata";
    player.src = address;
  }).finally(() => URL.revokeObjectURL(address));
}
