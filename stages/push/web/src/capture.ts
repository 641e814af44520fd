/** Sounds from the microphone and from files. */

import { LONGEST_S, readWav, tooLong, type Sound } from "./wav";

export interface Microphone {
  readonly sampleRate: number;
  stop(): void;
}

/** Start the microphone; `take` gets mono blocks as they come. Nothing is filtered, levelled or sent. */
export async function openMicrophone(recorder: string, take: (samples: Float32Array) => void): Promise<Microphone> {
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 },
  });
  const context = new AudioContext();
  const stop = (): void => {
    for (const track of stream.getTracks()) track.stop();
    void context.close();
  };
  try {
    await context.audioWorklet.addModule(recorder);
    const source = context.createMediaStreamSource(stream);
    const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = (event: MessageEvent<Float32Array>) => take(event.data);
    source.connect(node);
    await context.resume();
  } catch (error) {
    stop();
    throw error;
  }
  return { sampleRate: context.sampleRate, stop };
}

const DECODED_RATE = 48000;
const LARGEST = 512 * 2 ** 20;

/** Decode a file: WAV at its own rate by this page, every other format by the browser, at 48 kHz. */
export async function decodeFile(file: Blob): Promise<Sound> {
  if (file.size > LARGEST) throw new Error("This file is larger than 512 MiB. Cut it first.");
  if (file.size === 0) throw new Error("This file is empty. Choose another one.");
  const content = await file.arrayBuffer();
  const wav = readWav(content);
  if (wav) return wav;
  const seconds = await duration(file); // a decoded hour takes gigabytes, so that its length is looked at first
  if (seconds > LONGEST_S) throw new Error(tooLong(seconds));
  try {
    const decoded = await new OfflineAudioContext(1, 1, DECODED_RATE).decodeAudioData(content);
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
