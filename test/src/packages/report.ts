/** What was checked of each package, and what did not hold. */

export const checks = ["contents", "imports", "types", "programs", "examples", "publint", "attw"] as const;
export type Check = (typeof checks)[number];

interface Cell {
  held: number;
  readonly failures: string[];
}

const width = 10;

export class Report {
  readonly #cells = new Map<string, Cell>();
  readonly #packages: readonly string[];

  constructor(packages: readonly string[]) {
    this.#packages = packages;
  }

  held(name: string, check: Check, count = 1): void {
    this.#cell(name, check).held += count;
  }

  failed(name: string, check: Check, reason: string): void {
    this.#cell(name, check).failures.push(reason);
  }

  /** Counts one thing that holds, or notes each reason why it does not. */
  add(name: string, check: Check, reasons: readonly string[]): void {
    if (reasons.length === 0) this.held(name, check);
    for (const reason of reasons) this.failed(name, check, reason);
  }

  /** A package and a check for which there was anything to check counts as one. */
  counts(): { readonly passed: number; readonly failed: number } {
    const cells = [...this.#cells.values()];
    const failed = cells.filter(({ failures }) => failures.length > 0).length;
    return { passed: cells.length - failed, failed };
  }

  lines(): readonly string[] {
    const first = Math.max(...this.#packages.map((name) => name.length));
    const line = (start: string, columns: readonly string[]): string =>
      `${start.padEnd(first)}  ${columns.map((column) => column.padEnd(width)).join("")}`.trimEnd();
    return [
      line("package", checks),
      ...this.#packages.map((name) =>
        line(
          name,
          checks.map((check) => this.#text(name, check)),
        ),
      ),
    ];
  }

  failures(): readonly string[] {
    return this.#packages.flatMap((name) =>
      checks.flatMap((check) =>
        (this.#cells.get(`${name} ${check}`)?.failures ?? []).map((reason) => `FAILED ${name}, ${check}: ${reason}`),
      ),
    );
  }

  #text(name: string, check: Check): string {
    const cell = this.#cells.get(`${name} ${check}`);
    if (cell === undefined) return "-";
    return cell.failures.length > 0 ? `FAILED ${cell.failures.length}` : `ok ${cell.held}`;
  }

  #cell(name: string, check: Check): Cell {
    const key = `${name} ${check}`;
    const cell = this.#cells.get(key) ?? { held: 0, failures: [] };
    this.#cells.set(key, cell);
    return cell;
  }
}
