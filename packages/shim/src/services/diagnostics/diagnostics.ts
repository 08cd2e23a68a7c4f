import { Inspect } from "./inspect.ts";
import type { DiagnosticParts } from "./parts.ts";
import { ShimDiag } from "./shim-diag.ts";
import { Turns } from "./turns.ts";

/** Both diagnostic services, which share their limits. */
export class Diagnostics {
  readonly shimDiag: ShimDiag;
  readonly inspect: Inspect;

  constructor(parts: DiagnosticParts) {
    const turns = new Turns(parts.clock);
    this.shimDiag = new ShimDiag(parts, turns);
    this.inspect = new Inspect(parts, turns);
  }
}
