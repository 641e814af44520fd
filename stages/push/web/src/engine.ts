/** The page's side of the worker that runs LiteRT. */

import type { Manifest } from "./manifest";
import type { Run, Scored } from "./recording";
import type { Sound } from "./wav";

export type Request =
  | {
      readonly do: "load";
      readonly litert: string;
      readonly frontend: Uint8Array | undefined;
      readonly model: Uint8Array;
      readonly nCrops: number;
      readonly threads: number;
    }
  | { readonly do: "run"; readonly waveform: Float32Array }
  | { readonly do: "read"; readonly content: ArrayBuffer }
  | { readonly do: "hear"; readonly sound: Sound; readonly manifest: Manifest };

export interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

export interface Timed extends Scored {
  readonly frontendMs: number;
  readonly modelMs: number;
}

/** A WAV file's sound, or the content again where it is none that the page reads. */
export type Read = { readonly sound: Sound } | { readonly content: ArrayBuffer };

export interface Prepared {
  /** Mono, at the front end's rate. */
  readonly samples: Float32Array;
  /** The same as a file that a browser plays. */
  readonly playable: Blob;
}

/** One classifier in a worker of its own. */
export class Engine {
  private readonly waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  private next = 0;

  private constructor(private readonly worker: Worker) {
    worker.addEventListener("message", (event: MessageEvent<Reply>) => {
      const caller = this.waiting.get(event.data.id);
      this.waiting.delete(event.data.id);
      if (event.data.error === undefined) caller?.resolve(event.data.value as never);
      else caller?.reject(new Error(event.data.error));
    });
    worker.addEventListener("error", (event) => {
      for (const caller of this.waiting.values()) caller.reject(new Error(event.message || "The worker cannot be started."));
      this.waiting.clear();
    });
  }

  /** Start a worker and load a classifier into it. */
  static async start(worker: Worker, what: Omit<Extract<Request, { do: "load" }>, "do">): Promise<Engine> {
    const engine = new Engine(worker);
    await engine.ask<undefined>({ do: "load", ...what });
    return engine;
  }

  /** Run front end and model on one clip, with times. */
  timed(waveform: Float32Array): Promise<Timed> {
    return this.ask<Timed>({ do: "run", waveform });
  }

  /** Run front end and model on one clip. */
  readonly run: Run = (waveform) => this.timed(waveform);

  /** Read a file as WAV; the content moves to the worker, and back if it is none. */
  read(content: ArrayBuffer): Promise<Read> {
    return this.ask<Read>({ do: "read", content }, [content]);
  }

  /** What the classifier hears in a sound, whose channels move to the worker; an hour takes a while. */
  hear(sound: Sound, manifest: Manifest): Promise<Prepared> {
    return this.ask<Prepared>({ do: "hear", sound, manifest }, sound.channels.map((channel) => channel.buffer));
  }

  /** Stop the worker. */
  close(): void {
    this.worker.terminate();
  }

  private ask<T>(request: Request, moved: Transferable[] = []): Promise<T> {
    const id = this.next++;
    return new Promise<T>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ ...request, id }, moved);
    });
  }
}
