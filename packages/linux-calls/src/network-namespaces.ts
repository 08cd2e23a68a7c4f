import { closeSync, constants, openSync } from "node:fs";
import { invoke } from "./libc.ts";

const CLONE_NEWNET = 0x40000000;
const ownNamespacePath = "/proc/thread-self/ns/net";

export interface NetworkNamespace {
  /**
   * Runs `action` in the namespace, on this thread, and comes back whatever happens. What the action starts or opens
   * stays in it. It must be synchronous: other work of the event loop would run in the foreign namespace.
   */
  run<T>(action: () => T): T;
  /** Leads to it for as long as it is open, wherever it was found. */
  readonly path: string;
  /** Lets go of it; the kernel removes it with all its interfaces when nothing else is in it. Repeatable. */
  close(): void;
}

/** Makes a network namespace that nothing but this process holds, so that it ends with this process at the latest. */
export function createNetworkNamespace(): NetworkNamespace {
  const home = openSync(ownNamespacePath, "r");
  let own: number | undefined;
  try {
    invoke("unshare", "CLONE_NEWNET", CLONE_NEWNET);
    try {
      own = openSync(ownNamespacePath, "r");
    } finally {
      invoke("setns", "own network namespace", home, CLONE_NEWNET);
    }
  } catch (error) {
    closeSync(home);
    if (own !== undefined) closeSync(own);
    throw error;
  }
  return namespaceOf(own, home);
}

/** Opens a network namespace that is there already, by a path such as `/proc/<pid>/ns/net`. */
export function openNetworkNamespace(path: string): NetworkNamespace {
  const home = openSync(ownNamespacePath, "r");
  try {
    // Of a FIFO this thread would else wait for a writer.
    return namespaceOf(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), home);
  } catch (error) {
    closeSync(home);
    throw error;
  }
}

function namespaceOf(descriptor: number, home: number): NetworkNamespace {
  let isOpen = true;
  return {
    path: `/proc/${process.pid}/fd/${descriptor}`,
    run(action) {
      if (!isOpen) throw new Error("the network namespace was closed");
      invoke("setns", "network namespace", descriptor, CLONE_NEWNET);
      try {
        const result = action();
        if (result instanceof Promise) throw new TypeError("NetworkNamespace.run: the action must be synchronous");
        return result;
      } finally {
        invoke("setns", "own network namespace", home, CLONE_NEWNET);
      }
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      closeSync(descriptor);
      closeSync(home);
    },
  };
}
