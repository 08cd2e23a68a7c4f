import koffi from "koffi";

/** Ends with `close`. */
export interface DescriptorWatch {
  /** The action is not called afterwards. Repeatable; the descriptor stays open. */
  close(): void;
}

/**
 * Calls the action in a turn of the event loop of its own whenever the descriptor has something to read or has lost its
 * peer, and again as long as the action leaves it so.
 */
export function watchReadable(descriptor: number, onReadable: () => void): DescriptorWatch {
  let isOpen = true;
  let isDue = false;
  const poll = koffi.node.poll(descriptor, { readable: true, disconnect: true }, () => {
    if (isDue) return;
    isDue = true;
    // koffi calls back outside Node's callback scope, so ticks and promises would not run before the next event.
    setImmediate(() => {
      isDue = false;
      if (isOpen) onReadable();
    });
  });
  return {
    close() {
      if (!isOpen) return;
      isOpen = false;
      poll.close();
    },
  };
}
