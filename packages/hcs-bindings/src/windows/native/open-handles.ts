/** Open handles that are closed together, with those that are still being opened. */
export class OpenHandles<Handle extends { close(): Promise<void> }> {
  readonly #open = new Set<Handle>();
  readonly #making = new Set<Promise<unknown>>();

  /** Keeps the handle that `work` opens until it is forgotten. */
  async make(work: () => Promise<Handle>): Promise<Handle> {
    const making = work().then((handle) => {
      this.#open.add(handle);
      return handle;
    });
    const settled = making.catch(() => {}).finally(() => this.#making.delete(settled));
    this.#making.add(settled);
    return await making;
  }

  forget(handle: Handle): void {
    this.#open.delete(handle);
  }

  [Symbol.iterator](): Iterator<Handle> {
    return this.#open.values();
  }

  /** Closes all handles, also those that are still being opened. No more may be opened then. */
  async close(): Promise<void> {
    while (this.#making.size > 0) await Promise.all(this.#making);
    await Promise.all([...this.#open].map((handle) => handle.close()));
  }
}
