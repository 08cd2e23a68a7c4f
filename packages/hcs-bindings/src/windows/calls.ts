import { HostError } from "../host-error.ts";
import type { Subject } from "./refusal.ts";

/** The calls that use one handle, which may not be closed before all of them have returned. */
export class Calls {
  readonly #running = new Set<Promise<void>>();
  #ended: HostError | undefined;

  /** Rejects where no more calls may come. */
  call<Value>(subject: Subject, work: () => Promise<Value>): Promise<Value> {
    return this.#ended === undefined ? this.track(work()) : Promise.reject(aboutSubject(subject, this.#ended));
  }

  /** Work that is waited for also where no more may come. */
  track<Value>(running: Promise<Value>): Promise<Value> {
    const over = (): void => {
      this.#running.delete(settled);
    };
    const settled = running.then(over, over);
    this.#running.add(settled);
    return running;
  }

  /** Refuses further calls, with this error, and resolves when those that run have returned. */
  async end(error: HostError): Promise<void> {
    this.#ended ??= error;
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}

/** What happened to the host, as the failure of one call. */
export function aboutSubject(subject: Subject, cause: HostError): HostError {
  return new HostError(cause.code, cause.message, { ...subject, gone: cause.gone, cause });
}
