/** Milliseconds without systems and clients until the program ends. */
export const defaultIdleMs = 5_000;

/** How the program ends. */
export const exitCodes = { done: 0, failed: 1, refused: 2 } as const;
