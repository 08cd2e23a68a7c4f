/** All cases of the suite, by who asks the shim. */
import { blockDeviceCases, criBlockDeviceCases, protocolBlockDeviceCases } from "./cases/block-devices.ts";
import { criCases } from "./cases/cri.ts";
import { criControlGroupCases } from "./cases/cri-cgroups.ts";
import { criDocumentedCases } from "./cases/cri-documented.ts";
import { criEndCases } from "./cases/cri-ends.ts";
import { criHungCases } from "./cases/cri-hung.ts";
import { criNamespaceCases } from "./cases/cri-namespaces.ts";
import { criNetworkCases } from "./cases/cri-networks.ts";
import { criPodCases } from "./cases/cri-pod.ts";
import { criPrivilegeCases } from "./cases/cri-privileges.ts";
import { criSandboxerCases } from "./cases/cri-sandboxer.ts";
import { criSizeCases } from "./cases/cri-size.ts";
import { criWindowsCases } from "./cases/cri-windows.ts";
import { deviceCases } from "./cases/devices.ts";
import { diagnosisCases, windowsDiagnosisCases } from "./cases/diagnosis-tool.ts";
import { diagnosticCases, windowsDiagnosticCases } from "./cases/diagnostics.ts";
import { eventCases } from "./cases/events.ts";
import { handedOverCases } from "./cases/handed-over.ts";
import { hungCases } from "./cases/hung.ts";
import { inputCases } from "./cases/input.ts";
import { networkCases } from "./cases/network.ts";
import { optionCases } from "./cases/options.ts";
import { criPropagationCases, protocolPropagationCases } from "./cases/propagation.ts";
import { protocolCases } from "./cases/protocol.ts";
import { protocolCanaryCases } from "./cases/protocol-canaries.ts";
import { protocolGivenUpCases } from "./cases/protocol-cancellations.ts";
import { protocolContainerCases } from "./cases/protocol-containers.ts";
import { protocolCrowdCases } from "./cases/protocol-crowd.ts";
import { protocolDescriptorCases } from "./cases/protocol-descriptors.ts";
import { protocolEndCases } from "./cases/protocol-ends.ts";
import { protocolErrorCases } from "./cases/protocol-errors.ts";
import { protocolMountCases } from "./cases/protocol-mounts.ts";
import { protocolNetworkCases } from "./cases/protocol-network.ts";
import { protocolProcessCases } from "./cases/protocol-processes.ts";
import { protocolRuntimeCases } from "./cases/protocol-runtime.ts";
import { protocolSandboxCases } from "./cases/protocol-sandbox.ts";
import { protocolSettingCases } from "./cases/protocol-settings.ts";
import { protocolVerityCases } from "./cases/protocol-verity.ts";
import { resourceCases } from "./cases/resources.ts";
import { runningCases } from "./cases/running.ts";
import { sandboxCases } from "./cases/sandbox.ts";
import { settingCases } from "./cases/settings.ts";
import { snapshotterCases } from "./cases/snapshotters.ts";
import { specificationCases } from "./cases/specification.ts";
import { stdioCases } from "./cases/stdio.ts";
import { storageCases } from "./cases/storage.ts";
import { vmCases } from "./cases/vm.ts";
import { warmPoolCases } from "./cases/warm-pool.ts";
import { windowsCases } from "./cases/windows.ts";
import { windowsResourceCases } from "./cases/windows-resources.ts";
import { emptyEntries } from "./left-out.ts";
import { SHORT_CASES } from "./short.ts";
import type { Case, CriCaseContext } from "./suite.ts";

/** containerd, through its own client. */
export const CASES: readonly Case[] = [
  ...runningCases,
  ...stdioCases,
  ...eventCases,
  ...snapshotterCases,
  ...inputCases,
  ...optionCases,
  ...settingCases,
  ...sandboxCases,
  ...deviceCases,
  ...blockDeviceCases,
  ...specificationCases,
  ...storageCases,
  ...networkCases,
  ...resourceCases,
  ...hungCases,
  ...vmCases,
  ...diagnosisCases,
];

const IN_ONE_VM: readonly string[] = [
  "output and exit code 0",
  "exit code 1",
  "exit code 137 after SIGKILL",
  "exit code 143 after SIGTERM",
  "signals by name and by number, and invalid ones",
  "a command that does not exist fails with its name",
  "an exec of a command that does not exist fails with its name, and the container goes on",
  "environment, working directory and a directory of the host",
  "a read-only root file system",
  "ten containers at once",
  "8 MiB printed by an init that exits at once",
  "8 MiB printed by an exec that exits at once",
  "20 MiB through stdin and stdout of an exec",
  "a terminal, its size, a resize, and a line typed",
  "a directory of the host, read-only and writable, and a single file",
];

/** The cases whose containers can be members of one pod, in this order. */
export const ONE_VM_CASES: readonly Case[] = CASES.filter(({ name }) => IN_ONE_VM.includes(name));

/** The same where a sandboxer serves what its client makes: how containers run and end, and what only it does. */
export const HANDED_OVER_CASES: readonly Case[] = [...runningCases, ...sandboxCases, ...handedOverCases];
/** What comes to a pod's own services, whoever holds them; one containerd is enough for that. */
export const HOSTED_SERVICE_CASES: readonly Case[] = [...stdioCases, ...eventCases, ...inputCases, ...hungCases];
/** The same where nobody has named the sandboxer to its shims. */
export const FOUND_SANDBOXER_CASES: readonly Case[] = [...sandboxCases, ...handedOverCases];

/** Kubernetes' runtime interface, whoever makes the pods. */
export const COMMON_CRI_CASES: readonly Case<CriCaseContext>[] = [
  ...criCases,
  ...criDocumentedCases,
  ...criNamespaceCases,
  ...criPrivilegeCases,
  ...criSizeCases,
];
/** The same, where the shim makes them too. */
export const CRI_CASES: readonly Case<CriCaseContext>[] = [
  ...COMMON_CRI_CASES,
  ...criPodCases,
  ...criControlGroupCases,
  ...criBlockDeviceCases,
  ...criPropagationCases,
  ...criNetworkCases,
  ...criHungCases,
  ...criEndCases,
];
/** What a sandboxer does otherwise than a shim of one pod: how pods come and go, who holds them, and that they are many. */
export const SANDBOXER_CASES: readonly Case<CriCaseContext>[] = [
  ...criCases,
  ...criNamespaceCases,
  ...criPodCases,
  ...criControlGroupCases,
  ...criSandboxerCases,
];

/** The suite itself, in the shim's protocol. */
export const PROTOCOL_CASES = [
  ...protocolCases,
  ...protocolContainerCases,
  ...protocolEndCases,
  ...protocolCrowdCases,
  ...protocolGivenUpCases,
  ...protocolNetworkCases,
  ...protocolSandboxCases,
  ...protocolSettingCases,
  ...protocolErrorCases,
  ...protocolMountCases,
  ...protocolVerityCases,
  ...protocolBlockDeviceCases,
  ...protocolPropagationCases,
  ...protocolProcessCases,
  ...protocolRuntimeCases,
  ...protocolCanaryCases,
  ...protocolDescriptorCases,
  ...diagnosticCases,
];

/** The suite, with the calls of a containerd for Windows, which no containerd for Linux makes. */
export const WINDOWS_CASES = [
  ...windowsCases,
  ...windowsResourceCases,
  ...windowsDiagnosticCases,
  ...windowsDiagnosisCases,
];

const ALL_CASES: readonly { readonly name: string }[] = [
  ...CASES,
  ...ONE_VM_CASES,
  ...HANDED_OVER_CASES,
  ...CRI_CASES,
  ...SANDBOXER_CASES,
  ...warmPoolCases,
  ...PROTOCOL_CASES,
  ...WINDOWS_CASES,
  ...criWindowsCases,
];

/** What the lists of names have that is the name of no case. */
export function unknownNames(): readonly string[] {
  const names = ALL_CASES.map(({ name }) => name);
  return [...emptyEntries(names), ...[...SHORT_CASES, ...IN_ONE_VM].filter((name) => !names.includes(name))];
}
