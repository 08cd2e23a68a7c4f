export { answerByHand } from "./boot/by-hand.ts";
export { type Crash, runUntilFailure } from "./boot/failure.ts";
export { agentFolders } from "./boot/guest-folders.ts";
export { enterGuestRoot } from "./boot/guest-root.ts";
export { denyHostCalls } from "./boot/host-calls.ts";
export { dialHost, dialHostDescriptor, serveGuestPorts } from "./boot/hvsocket.ts";
export { dialPersistently, reportPower } from "./boot/power.ts";
export { dumpStacks } from "./boot/stacks.ts";
export { StateDump } from "./boot/state-dump.ts";
export { enterVirtualMachine } from "./boot/virtual-machine.ts";
export { dialVsock, dialVsockDescriptor } from "./boot/vsock.ts";
export type { GroupMetrics } from "./cgroups/cgroup-metrics.ts";
export {
  cgroupPathOf,
  followMachineMemory,
  type LiftedLimit,
  liftLimits,
  metricsOf,
  mountNewCgroups,
  processesOf,
  removeCgroups,
  shareDevices,
} from "./cgroups/cgroups.ts";
export { detectFilesystem, readOnlyOptionsOf } from "./filesystems.ts";
export { GuestLog, type LogFields, type LogLevel } from "./log.ts";
export { loggedRequests } from "./logged-requests.ts";
export { type Commands, type Interface, interfaceName, moveCommands, setUpCommands } from "./network/commands.ts";
export { type NamespaceOwner, type RunInNetwork, runInNetwork, runIp } from "./network/ip.ts";
export { Children, type Expectation, type ToolResult } from "./process/children.ts";
