/** What was put into a machine step by step, and is taken out again in the opposite order. */
export class Installation {
  #undos: (() => Promise<unknown>)[] = [];

  /** Notes how the step that was just done is undone. */
  done(undo: () => Promise<unknown>): void {
    this.#undos.push(undo);
  }

  /** Undoes the steps, the last one first. Stops at one that fails, and then goes on from there when repeated. */
  async remove(): Promise<void> {
    for (let undo = this.#undos.at(-1); undo !== undefined; undo = this.#undos.at(-1)) {
      await undo();
      this.#undos.pop();
    }
  }
}

/** What could not be undone after a failure: the machine has it, though its user was told that it does not. */
export class Remains {
  readonly #report: (message: string) => void;
  #installations: readonly Installation[] = [];

  constructor(report: (message: string) => void) {
    this.#report = report;
  }

  /** Undoes what is installed of a device that could not be added. Never fails; `sweep` tries the rest again. */
  async undo(installation: Installation): Promise<void> {
    try {
      await installation.remove();
    } catch (error) {
      this.#installations = [...this.#installations, installation];
      this.#report(`what is left of a device that could not be added: ${String(error)}`);
    }
  }

  /** Tries again to undo what is left. */
  async sweep(): Promise<void> {
    const left = this.#installations;
    this.#installations = [];
    for (const installation of left) await this.undo(installation);
  }
}
