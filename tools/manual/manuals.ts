/** The manuals of all executables, from which their man pages, completions and docs/reference.md are made. */

import { manual as diagnosis } from "../../apps/uvm-diag/src/manual.ts";
import type { ProgramManual } from "../../packages/command-line/src/index.ts";
import { manual as emulator } from "../../packages/host-emulator/src/service/manual.ts";
import { shimManual } from "../../packages/shim/src/program/manual.ts";

const shims = ["lcow", "wcow"].map((flavour) =>
  shimManual({ name: `containerd-shim-${flavour}-v2`, runtimeName: `io.containerd.${flavour}.v2` }),
);

export const manuals: readonly ProgramManual[] = [...shims, emulator, diagnosis];
