import { givenUpError } from "@uvm-shim/gcs-bridge";

/**
 * Awaits the answer to a request that makes something in the guest. A request cannot be taken back: when the caller
 * leaves first, what the guest makes after all is undone behind its back. `undo` must not reject.
 */
export async function awaitOrUndo<T>(
  answer: Promise<T>,
  signal: AbortSignal | undefined,
  subject: { readonly procedure: string; readonly containerId: string },
  undo: (made: T) => Promise<void>,
): Promise<T> {
  if (signal === undefined) return await answer;
  const done = new AbortController();
  try {
    return await new Promise<T>((resolve, reject) => {
      let isAnswered = false;
      const giveUp = (): void => {
        if (isAnswered) return;
        reject(givenUpError(signal.reason, subject));
        answer.then(undo, () => {});
      };
      answer.then((made) => {
        isAnswered = true;
        resolve(made);
      }, reject);
      if (signal.aborted) giveUp();
      else signal.addEventListener("abort", giveUp, { signal: done.signal });
    });
  } finally {
    done.abort();
  }
}
