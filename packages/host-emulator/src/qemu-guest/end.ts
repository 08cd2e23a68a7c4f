import type { GuestEnd } from "../guest-machine.ts";
import { printable } from "./qmp/qmp-error.ts";
import type { ProgramEnd } from "./start/own-root.ts";

/** What was seen of a machine's end. */
export interface EndSigns {
  /** How QEMU itself ended. */
  readonly end?: ProgramEnd;
  /** What QEMU said beside its monitor. */
  readonly diagnostics?: string;
  /** Whether the guest's kernel reported a panic to its pvpanic device. */
  readonly hasPanicked?: boolean;
  /** The reason of QEMU's SHUTDOWN event. */
  readonly shutdown?: string;
  /** Why this host ended it. */
  readonly trouble?: string;
}

const shutdowns: { readonly [reason: string]: Omit<GuestEnd, "console"> } = {
  "guest-shutdown": { orderly: true, reason: "the guest shut down" },
  "guest-reset": { orderly: false, reason: "the guest restarted, as kernels do after a panic" },
  "guest-panic": { orderly: false, reason: "the guest's kernel panicked" },
};

/** How a machine ended: what the guest did comes before what then became of QEMU. */
export function reasonOf(signs: EndSigns): Omit<GuestEnd, "console"> {
  const { end, diagnostics = "", hasPanicked, shutdown, trouble } = signs;
  if (hasPanicked === true) return { orderly: false, reason: "the guest's kernel panicked" };
  const known = shutdown === undefined ? undefined : shutdowns[shutdown];
  if (known !== undefined) return known;
  if (trouble !== undefined) return { orderly: false, reason: `the virtual machine was ended: ${trouble}` };
  const said = diagnostics.trim().split("\n").at(-1) ?? "";
  const how = end?.signal != null ? `was killed by ${end.signal}` : `ended with exit code ${end?.code}`;
  return { orderly: false, reason: `QEMU ${how}${said === "" || end?.signal != null ? "" : `: ${printable(said)}`}` };
}
