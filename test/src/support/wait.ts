import { setTimeout as sleep } from "node:timers/promises";

/** Asks again and again until the answer is not undefined; `what` completes "waited … ms for". */
export async function poll<T>(
  what: string,
  ask: () => T | undefined | Promise<T | undefined>,
  options: { readonly timeoutMs: number; readonly intervalMs?: number; readonly signal?: AbortSignal },
): Promise<T> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() >= deadline) throw new Error(`waited ${options.timeoutMs} ms for ${what}`);
    await sleep(options.intervalMs ?? 50, undefined, { signal: options.signal });
  }
}
