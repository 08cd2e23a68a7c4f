import { closeSync, constants, openSync } from "node:fs";
import { invoke } from "./libc.ts";

const CLONE_NEWNET = 0x40000000;
const ownNamespacePath = "/proc/thread-self/ns/net";

/** A network namespace that is held open. */
export interface NetworkNamespace {
  /**
   * Runs `action` in the namespace, on this thread, and always returns to its own. Processes and sockets of the action
   * stay in the namespace. It must be synchronous: other work of the event loop would run in the foreign namespace.
   */
  run<T>(action: () => T): T;
  /** Valid while the namespace is open, however it was opened. */
  readonly path: string;
  /** The kernel removes the namespace with its interfaces once nothing else uses it. Repeatable. */
  close(): void;
}

/** Creates a network namespace that only this process holds, so that it ends with this process at the latest. */
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

/** Opens an existing network namespace by a path such as `/proc/<pid>/ns/net`. */
export function openNetworkNamespace(path: string): NetworkNamespace {
  const home = openSync(ownNamespacePath, "r");
  try {
    // Without O_NONBLOCK, this thread would wait for a writer if the path is a FIFO.
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
      if (!isOpen) throw new Error("the network namespace is closed");
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
