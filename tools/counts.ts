/** How the suites tell what passed: one line, last, which `.ci/run` looks for and adds up. */
export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  /** Left out, each with its reason printed before. */
  readonly skipped?: number;
}

/** The line that `.ci/run` adds up. A suite that prints another counts there as one failure. */
export function describeCounts({ passed, failed, skipped = 0 }: TestCounts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
