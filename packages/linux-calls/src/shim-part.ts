/** What a shim of this system loads if it needs it. */
import { type FillWatcher, PipeFiller } from "./splice.ts";

/** As `PipeFiller`, in the form in which the shim asks for it. */
export function fillPipe(socket: number, pipe: number, watcher: FillWatcher): { stop(): void } {
  return new PipeFiller(socket, pipe, watcher);
}
