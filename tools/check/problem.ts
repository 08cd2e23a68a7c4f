/** A violation of a rule: where it is, and what is expected instead. */
export interface Problem {
  readonly file: string;
  readonly line?: number;
  readonly what: string;
}

export function describeProblem({ file, line, what }: Problem): string {
  return `${file}${line === undefined ? "" : `:${line}`}: ${what}`;
}
