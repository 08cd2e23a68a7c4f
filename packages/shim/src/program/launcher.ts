import { closeSync, fchmodSync, writeSync } from "node:fs";

/** Set by launchers that wait for an answer, as tools/assemble.ts makes them. */
export const launcherVariable = "UVM_SHIM_LAUNCHER_WAITS";

const standardError = 2;
/** Descriptors from the launcher: its own outputs, and the one on which it waits for its exit code. */
const launcherOutput = 3;
const launcherErrors = 4;
const launcherStatus = 5;

/** The launcher that waits for an answer, on standard output and standard error of its own. */
export class Launcher {
  #isWaiting = true;

  /** Undefined where whoever started this process waits for its end. */
  static of({ env }: NodeJS.Process): Launcher | undefined {
    if (env[launcherVariable] === undefined) return undefined;
    delete env[launcherVariable];
    // Receives the errors of a pod; the launcher has made it with the usual mode.
    fchmodSync(standardError, 0o600);
    return new Launcher();
  }

  /** Ends the launcher. Afterwards nothing of its caller's is open here; does nothing if it has ended. */
  answer({ output, errors, code }: { readonly output?: Uint8Array; readonly errors?: string; readonly code: number }) {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    try {
      if (output !== undefined) writeAll(launcherOutput, output);
      if (errors !== undefined) writeAll(launcherErrors, Buffer.from(errors));
      writeAll(launcherStatus, Buffer.from(`${code}`));
    } catch (error) {
      // It has been killed; without clients this process exits on its own.
      if ((error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
    } finally {
      for (const descriptor of [launcherOutput, launcherErrors, launcherStatus]) closeSync(descriptor);
    }
  }

  get isWaiting(): boolean {
    return this.#isWaiting;
  }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length; ) offset += writeSync(descriptor, bytes, offset);
}
