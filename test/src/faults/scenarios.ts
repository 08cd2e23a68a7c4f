import type { Scenario } from "./scenario.ts";
import { containerScenarios } from "./scenarios/container.ts";
import { windowsContainerScenarios } from "./scenarios/container-wcow.ts";
import { networkScenarios } from "./scenarios/network.ts";
import { plan9Scenarios } from "./scenarios/plan9.ts";
import { processScenarios } from "./scenarios/process.ts";
import { sandboxerScenarios } from "./scenarios/sandboxer.ts";
import { scsiScenarios } from "./scenarios/scsi.ts";
import { stackScenarios } from "./scenarios/stack.ts";
import { windowsStackScenarios } from "./scenarios/stack-wcow.ts";
import { vmScenarios } from "./scenarios/vm.ts";
import { vpciScenarios } from "./scenarios/vpci.ts";
import { vsmbScenarios } from "./scenarios/vsmb.ts";

/** All that the harness runs. A controller joins by a line. */
export const scenarios: readonly Scenario[] = [
  ...vmScenarios,
  ...networkScenarios,
  ...scsiScenarios,
  ...plan9Scenarios,
  ...vpciScenarios,
  ...vsmbScenarios,
  ...containerScenarios,
  ...windowsContainerScenarios,
  ...processScenarios,
  ...stackScenarios,
  ...windowsStackScenarios,
  ...sandboxerScenarios,
];
