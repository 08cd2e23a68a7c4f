import type { OpenStdio, UpstreamStdio } from "../platform.ts";

/** Counts the bytes of stdio that wait for the client or for the guest. */
export class QueuedStdio {
  readonly #open = new Set<OpenStdio>();

  get bytes(): number {
    let bytes = 0;
    for (const { stdin, stdout, stderr } of this.#open) {
      bytes += (stdin?.readableLength ?? 0) + (stdout?.writableLength ?? 0) + (stderr?.writableLength ?? 0);
    }
    return bytes;
  }

  watch(upstream: UpstreamStdio): UpstreamStdio {
    return {
      open: async (paths, signal) => {
        const opened = await upstream.open(paths, signal);
        const watched: OpenStdio = {
          ...opened,
          close: async () => {
            this.#open.delete(watched);
            await opened.close();
          },
        };
        this.#open.add(watched);
        return watched;
      },
    };
  }
}
