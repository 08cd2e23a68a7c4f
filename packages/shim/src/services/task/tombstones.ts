/** Results that outlive their subject, for callers that lost the response and repeat the request. Drops the oldest first. */
export class Tombstones<Answer> {
  readonly #answers = new Map<string, Answer>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  set(key: string, answer: Answer): void {
    this.#answers.delete(key);
    this.#answers.set(key, answer);
    if (this.#answers.size <= this.#most) return;
    const oldest = this.#answers.keys().next();
    if (!oldest.done) this.#answers.delete(oldest.value);
  }

  get(key: string): Answer | undefined {
    return this.#answers.get(key);
  }

  /** Forgets every answer whose key matches. */
  forget(matches: (key: string) => boolean): void {
    for (const key of this.#answers.keys()) {
      if (matches(key)) this.#answers.delete(key);
    }
  }
}
