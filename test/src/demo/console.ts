/** Prints steps with their durations: with colour and progress on a terminal, as plain lines elsewhere. */
export class DemoConsole {
  readonly #stream: NodeJS.WriteStream;
  readonly #rich: boolean;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    this.#rich = stream.isTTY === true && !process.env.NO_COLOR;
  }

  line(text = ""): void {
    this.#stream.write(`${this.#cleared()}${text}\n`);
  }

  title(text: string): void {
    this.line(this.#styled("1", text));
  }

  /** Shows what is going on until the next line; on a terminal only. */
  progress(step: string): void {
    if (this.#rich) this.#stream.write(`${this.#cleared()}  ${this.#styled("33", "…")} ${step}`);
  }

  step(step: string, what: string, milliseconds: number): void {
    const duration = `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`.padStart(9);
    this.line(`  ${this.#styled("32", "✓")} ${step.padEnd(16)}${this.#styled("36", duration)}   ${what}`);
  }

  /** What a process printed. */
  output(line: string): void {
    this.line(`      ${this.#styled("2", "│")} ${line}`);
  }

  problem(text: string): void {
    this.line(`  ${this.#styled("31", "✗")} ${text}`);
  }

  #cleared(): string {
    return this.#rich ? "\r\u001b[2K" : "";
  }

  #styled(code: string, text: string): string {
    return this.#rich ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}
