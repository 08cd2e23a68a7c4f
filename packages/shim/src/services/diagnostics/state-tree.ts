import { performance } from "node:perf_hooks";
import type { Clock, Exit, Observation } from "@uvm-shim/lifecycle";
import type { SandboxDescription } from "../../description.ts";
import type { Platform, Process, StdioPaths } from "../../platform.ts";
import { redactedUri } from "../../redaction.ts";
import { countBy, openDescriptors } from "../state-dump.ts";
import { Creation } from "../task/creation.ts";
import type { DiagnosticParts } from "./parts.ts";
import type * as State from "./state.ts";
import type { Watch } from "./watch.ts";

/** The state of everything at this moment. Asks nobody, so that it answers while host and guest do not. */
export function stateTree(parts: DiagnosticParts): State.StateTree {
  const { slot, watch, clock, calls, events, platform } = parts;
  const now = clock.now();
  const sandbox = sandboxOf(parts);
  const host = platform()?.describeHost();
  const described = slot.present?.sandbox.describe();
  return {
    version: 1,
    takenAt: now.toISOString(),
    shim: shimOf(parts),
    ...(host && { host }),
    ...(sandbox && { sandbox }),
    ...(described && { vm: vmOf(described, watch) }),
    containers: containersOf(parts, described),
    ...devicesOf(described, watch),
    calls: calls.pending().map(({ began, ...call }) => ({ ...call, since: new Date(began).toISOString() })),
    work: workOf(watch),
    machines: watch.machines.map((machine) => ({ ...machine, since: machine.since.toISOString() })),
    events: events.describe(),
  };
}

/** The flavour of a platform that has been loaded. */
export function flavourOf(platform: Platform | undefined): State.Flavour | undefined {
  if (platform === undefined) return undefined;
  return platform.os === "linux" ? "lcow" : "wcow";
}

/** When this process was started. */
export function startedAt(clock: Clock): Date {
  return new Date(clock.now().getTime() - Math.round(process.uptime() * 1000));
}

/** Without the calls of clients, which `calls` has. */
export function workOf(watch: Watch): readonly State.WorkState[] {
  const parts = watch.work.filter(({ observation: { kind } }) => kind !== "request");
  return parts.map(({ observation, since, milliseconds }) => {
    const { kind, name, attributes, activityId } = observation;
    return {
      ...{ kind, name, attributes, ...(activityId !== undefined && { activityId }) },
      since: since.toISOString(),
      milliseconds,
      within: namesAround(observation),
    };
  });
}

function namesAround({ parent }: Observation): string[] {
  return parent === undefined ? [] : [...namesAround(parent), parent.name];
}

function shimOf({ shim, platform, clock }: DiagnosticParts): State.ShimState {
  const flavour = flavourOf(platform());
  const { rss, heapUsed, heapTotal, external } = process.memoryUsage();
  const { utilization } = performance.eventLoopUtilization();
  const open = openDescriptors();
  return {
    ...shim,
    ...(flavour && { flavour }),
    startedAt: startedAt(clock).toISOString(),
    uptimeSeconds: Math.round(process.uptime()),
    runtime: `Node ${process.version}`,
    memory: { rss, heapUsed, heapTotal, external },
    eventLoop: { utilization: Number(utilization.toFixed(4)) },
    ...(open !== undefined && { descriptors: { open } }),
    handles: countBy(process.getActiveResourcesInfo()),
  };
}

function sandboxOf({ slot, shim, watch }: DiagnosticParts): State.SandboxState | undefined {
  const { present, creatingId, isStopping } = slot;
  const { namespace } = shim;
  if (present === undefined) {
    if (creatingId === undefined) return undefined;
    return { id: creatingId, namespace, state: "creating", ready: false, stopping: isStopping };
  }
  const { sandbox, mode, os, exit } = present;
  const { id, state, isReady, pid, createdAt } = sandbox;
  return {
    ...{ id, namespace, mode, os, state, ready: isReady, stopping: isStopping },
    ...sinceOf(watch, "pod", id),
    ...(pid !== undefined && { pid }),
    createdAt: createdAt.toISOString(),
    ...exitOf(exit),
  };
}

function vmOf({ vm }: SandboxDescription, watch: Watch): State.VmState {
  const { startedAt, exit, ...rest } = vm;
  return {
    ...rest,
    ...sinceOf(watch, "VM", vm.id),
    ...(startedAt && { startedAt: startedAt.toISOString() }),
    ...exitOf(exit),
  };
}

/** Those that clients created, and those that only the platform knows. */
function containersOf(
  { tasks, watch }: DiagnosticParts,
  described: SandboxDescription | undefined,
): readonly State.ContainerState[] {
  const known = new Map(described?.containers.map((container) => [container.id, container]));
  const ofTasks = [...tasks.entries()].map(([id, task]): State.ContainerState => {
    const { state, held } = known.get(id) ?? { held: [] };
    known.delete(id);
    const since = sinceOf(watch, "container", id);
    if (task instanceof Creation) {
      return { ...{ id, state: state ?? "creating", ...since, paused: false, held }, processes: [] };
    }
    const { container, processes } = task;
    return {
      ...{ id, state: state ?? (task.exit === undefined ? "present" : "deleted"), ...since },
      ...{ paused: container.isPaused, bundle: container.bundle, held },
      processes: [...processes].map(([execId, record]) =>
        record instanceof Creation ? { execId, state: "creating" } : processOf(id, execId, record.process, watch),
      ),
    };
  });
  const others = [...known.values()].map(({ id, state, held }) => ({
    ...{ id, state, ...sinceOf(watch, "container", id), paused: false, held, processes: [] },
  }));
  return [...ofTasks, ...others];
}

function processOf(containerId: string, execId: string, process: Process, watch: Watch): State.ProcessState {
  const { state, pid, exit, hasEnded, stdio } = process;
  return {
    ...{ execId, state, ...sinceOf(watch, "process", execId === "" ? containerId : `${containerId}/${execId}`) },
    ...(pid !== 0 && { pid }),
    ...(hasEnded && exit === undefined && { isDraining: true }),
    ...exitOf(exit),
    stdio: stdioOf(stdio),
  };
}

/** The URI of a logging binary names the binary's arguments in its query. */
function stdioOf({ stdin, stdout, stderr, terminal }: StdioPaths) {
  return { stdin: redactedUri(stdin), stdout: redactedUri(stdout), stderr: redactedUri(stderr), terminal };
}

function devicesOf(described: SandboxDescription | undefined, watch: Watch) {
  const { disks = [], shares = [], networks = [], devices = [], ownShares = [], programs = [] } = described ?? {};
  const vm = described?.vm.id ?? "";
  return {
    disks: disks.map(({ mounts, ...disk }) => ({
      ...disk,
      ...sinceOf(watch, "disk", `${vm} ${disk.hostPath} at controller ${disk.controller} LUN ${disk.lun}`),
      mounts: mounts.map((mount) => ({ ...mount, ...sinceOf(watch, "disk mount", `${vm} ${mount.guestPath}`) })),
    })),
    shares: shares.map((share) => {
      const [subject, id] =
        share.kind === "pipe" ? ["mapped pipe", share.hostPath] : [shareSubjects[share.kind], share.name];
      return { ...share, ...sinceOf(watch, subject, `${vm} ${id}`) };
    }),
    networks: networks.map((network) => ({ ...network, ...sinceOf(watch, "network", network.namespaceId) })),
    devices: devices.map((device) => ({
      ...device,
      ...sinceOf(watch, "vPCI assignment", `${vm} ${device.vmBusGuid}`),
    })),
    diagnostics: {
      shares: ownShares.map(({ hostPath, guestPath, readOnly }) => ({ hostPath, guestPath, readOnly })),
      programs: programs.map((program) => ({ ...program, ...sinceOf(watch, "process", `${vm}/${program.id}`) })),
    },
  };
}

const shareSubjects = { plan9: "Plan9 share", vsmb: "VSMB share" } as const;

function sinceOf(watch: Watch, subject: string, id: string): { readonly since?: string } {
  const since = watch.since(subject, id);
  return since === undefined ? {} : { since: since.toISOString() };
}

function exitOf(exit: (Exit & { readonly reason?: string }) | undefined): { readonly exit?: State.ExitState } {
  if (exit === undefined) return {};
  const { status, exitedAt, reason } = exit;
  return { exit: { status, at: exitedAt.toISOString(), ...(reason !== undefined && { reason }) } };
}
