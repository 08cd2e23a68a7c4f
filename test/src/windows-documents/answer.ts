/** What is made of a case, or the error. */
export interface Answer {
  readonly parameters?: unknown;
  readonly document?: unknown;
  readonly sandbox?: unknown;
  readonly containerId?: string;
  readonly error?: string;
}
