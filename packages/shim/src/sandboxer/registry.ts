import type { Exit } from "@uvm-shim/lifecycle";
import { describeError, ShimError } from "../errors.ts";
import type { Log } from "../platform.ts";

/** What the registry needs of a pod. Satisfied by `HostedPod`. */
export interface RegisteredPod {
  readonly ended: Promise<string>;
  open(): Promise<void>;
  close(): Promise<void>;
  terminate(reason: string): Promise<void>;
  /** What becomes of it when it has ended by a failure of its own; undefined if nothing of it is to be known any more. */
  readonly lost?: () => LostPod | undefined;
}

/** A pod that is served no longer, and of which containerd has not been told yet. */
export interface LostPod {
  readonly createdAt: Date;
  readonly exit: Exit;
  /** Removes what is known of it. */
  forget(): Promise<void>;
}

/** A pod of the registry, by what can be done with it. */
export type Entry<Pod> =
  | { readonly kind: "opening"; readonly opened: Promise<unknown> }
  | { readonly kind: "serving"; readonly pod: Pod }
  /** It is served no longer, and what it held is being released. */
  | { readonly kind: "closing"; readonly pod: Pod; readonly closed: Promise<void> }
  | { readonly kind: "lost"; readonly lost: LostPod };

/** What a pod is called: ids are containerd's, unique in a namespace. */
export interface PodName {
  readonly namespace: string;
  readonly id: string;
}

/** The pods of one process, by namespace and id. */
export class PodRegistry<Pod extends RegisteredPod> {
  readonly #entries = new Map<string, Entry<Pod>>();
  readonly #log: Log;
  #isClosed = false;

  constructor(log: Log) {
    this.#log = log;
  }

  get size(): number {
    return this.#entries.size;
  }

  get pods(): readonly Pod[] {
    return [...this.#entries.values()].flatMap((entry) => (entry.kind === "serving" ? [entry.pod] : []));
  }

  find(name: PodName): Entry<Pod> | undefined {
    return this.#entries.get(keyOf(name));
  }

  /** Opens a pod and serves it until it ends. Throws AlreadyExists for a name that is taken. */
  async open(name: PodName, make: () => Pod): Promise<Pod> {
    if (this.#isClosed) throw new ShimError("Unavailable", `pod ${name.id}: the sandboxer is ending`);
    const before = this.find(name);
    if (before?.kind === "closing") await before.closed.catch(() => {});
    const key = keyOf(name);
    const present = this.#entries.get(key);
    if (present !== undefined) {
      const how = present.kind === "lost" ? "it was lost, and waits to be shut down" : `it is ${present.kind}`;
      throw new ShimError("AlreadyExists", `pod ${name.id} exists already: ${how}`);
    }
    const opened = this.#open(name, make);
    this.#entries.set(key, { kind: "opening", opened });
    return await opened;
  }

  async #open(name: PodName, make: () => Pod): Promise<Pod> {
    // Its entry is made first.
    await Promise.resolve();
    const key = keyOf(name);
    let pod: Pod;
    try {
      pod = make();
      await pod.open();
    } catch (error) {
      this.#entries.delete(key);
      throw error;
    }
    this.#entries.set(key, { kind: "serving", pod });
    void pod.ended.then((reason) => {
      this.#log.log("info", "pod ended", { ...name, reason });
      const lost = this.#lostOf(name, pod);
      if (lost === undefined) return this.close(name);
      this.addLost(name, lost);
      return undefined;
    });
    return pod;
  }

  #lostOf(name: PodName, pod: Pod): LostPod | undefined {
    try {
      return pod.lost?.();
    } catch (error) {
      this.#log.log("error", "cannot keep what is known of a lost pod", { ...name, error: describeError(error) });
      return undefined;
    }
  }

  /** Stops serving the pod; does nothing for one that is not served. A failure is logged, and leaves nothing registered. */
  async close(name: PodName): Promise<void> {
    const entry = this.find(name);
    if (entry?.kind === "closing") return await entry.closed;
    if (entry?.kind !== "serving") return;
    const { pod } = entry;
    const report = (error: unknown): void =>
      this.#log.log("error", "cannot release all of a pod", { ...name, error: describeError(error) });
    // Nobody asks for it again, so what could not be released is tried once more.
    const again = (error: unknown): Promise<void> => {
      report(error);
      return pod.close();
    };
    const closed = pod.close().catch(again).catch(report);
    this.#entries.set(keyOf(name), { kind: "closing", pod, closed });
    await closed;
    this.#entries.delete(keyOf(name));
  }

  /** Ends the VM of a pod, and all in it, and serves it no longer. Does nothing for one that is not there. */
  async release(name: PodName, reason: string): Promise<void> {
    const entry = this.find(name);
    switch (entry?.kind) {
      case undefined:
        return;
      case "opening":
        // Whoever asked for it may have given up.
        await entry.opened.catch(() => {});
        return await this.release(name, reason);
      case "serving":
        await entry.pod.terminate(reason);
        return await this.close(name);
      case "closing":
        return await entry.closed;
      case "lost":
        await entry.lost.forget();
        this.#entries.delete(keyOf(name));
        return;
    }
  }

  addLost(name: PodName, lost: LostPod): void {
    this.#entries.set(keyOf(name), { kind: "lost", lost });
  }

  /** Takes no further pods. */
  closeDoor(): void {
    this.#isClosed = true;
  }

  /** Ends every pod in order, all at once. */
  async drain(reason: string): Promise<void> {
    this.closeDoor();
    await Promise.all(
      [...this.#entries].map(async ([key, entry]) => {
        if (entry.kind === "lost") return;
        await this.release(nameOf(key), reason);
      }),
    );
  }
}

function keyOf({ namespace, id }: PodName): string {
  return `${namespace}/${id}`;
}

/** Neither part can contain a slash. */
function nameOf(key: string): PodName {
  const [namespace = "", id = ""] = key.split("/");
  return { namespace, id };
}
