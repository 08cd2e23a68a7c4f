/** What a guest that means well answers; the modes put their own in the place of some of it. */
import type { Socket } from "node:net";
import { type Procedure, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { capabilities as leastCapabilities } from "@uvm-shim/gcs-bridge/testing";
import { hresults } from "@uvm-shim/hcs-schema";
import { type FakeProcess, notFound, type ProcessTable } from "./processes.ts";
import { type GuestRequest, isVictim, type Reaction } from "./requests.ts";

/** What the ordinary reactions ask of the guest whose they are. */
export interface OrdinaryGuest {
  readonly processes: ProcessTable;
  answer(request: GuestRequest, fields?: object): void;
  answerProperties(request: GuestRequest, properties: unknown): void;
  refuse(request: GuestRequest, result: number): void;
  dial(port: number): Promise<Socket>;
  booted(): void;
  victimRuns(): void;
}

const failed = 0x80004005 | 0;
const killed = 128;
const sigkill = 9;

export const capabilities = {
  ...leastCapabilities,
  GuestDefinedCapabilities: { ...leastCapabilities.GuestDefinedCapabilities, PauseContainerSupported: true },
};

export const figures = {
  LCOWMetrics: { pids: { current: 1 }, memory: { usage: { usage: 4096 } }, memory_oom_control: { oom_kill: 0 } },
} as const;

export type StreamPorts = { readonly StdIn?: number; readonly StdOut?: number; readonly StdErr?: number };

export function ordinaryReactions(guest: OrdinaryGuest): { readonly [P in Procedure]: Reaction } {
  const done: Reaction = (request) => guest.answer(request);
  const shutdown =
    (status: number, notification: string): Reaction =>
    (request) => {
      guest.answer(request);
      if (request.containerId === uvmContainerId) {
        setImmediate(() => process.exit(0));
        return;
      }
      for (const one of guest.processes.alive(request.containerId)) void guest.processes.end(one, status, notification);
    };
  return {
    negotiateProtocol: (request) => {
      guest.answer(request, { Version: 4, Capabilities: capabilities });
      guest.booted();
    },
    create: (request) => {
      const { OciSpecification: specification } = JSON.parse(String(request.body.ContainerConfig)) as {
        readonly OciSpecification?: { readonly process?: { readonly args?: readonly string[] } };
      };
      guest.processes.setProgram(request.containerId, specification?.process?.args ?? []);
      guest.answer(request);
    },
    start: done,
    executeProcess: (request) => void execute(guest, request),
    waitForProcess: (request) => guest.processes.wait(request),
    signalProcess: (request) => {
      const one = guest.processes.get(request.body.ProcessId);
      if (one === undefined || one.status !== undefined) return guest.refuse(request, notFound);
      guest.answer(request);
      const signal = (request.body.Options as { readonly Signal?: number } | undefined)?.Signal ?? sigkill;
      void guest.processes.end(one, killed + signal, signal === sigkill ? "ForcedExit" : "GracefulExit");
    },
    resizeConsole: done,
    getProperties: (request) => {
      if (request.containerId === uvmContainerId) return guest.refuse(request, failed);
      const query = String(request.body.Query);
      const pids = guest.processes.alive(request.containerId).map(({ pid }) => ({ ProcessId: pid }));
      guest.answerProperties(request, query.includes("Statistics") ? figures : { ProcessList: pids });
    },
    modifySettings: done,
    dumpStacks: (request) => guest.answer(request, { GuestStacks: "none" }),
    shutdownGraceful: shutdown(killed + 15, "GracefulExit"),
    shutdownForced: shutdown(killed + sigkill, "ForcedExit"),
    deleteContainerState: done,
    // Only Windows guests have services.
    modifyServiceSettings: (request) => guest.answer(request, { Result: hresults.HCS_E_UNKNOWN_MESSAGE | 0 }),
  };
}

export interface ExecuteRequest {
  readonly parameters: { readonly OCIProcess?: { readonly args?: readonly string[] } };
  readonly ports: StreamPorts;
}

export function readExecute(request: GuestRequest): ExecuteRequest {
  const settings = request.body.Settings as {
    readonly ProcessParameters: string;
    readonly VsockStdioRelaySettings?: StreamPorts;
  };
  return {
    parameters: JSON.parse(settings.ProcessParameters) as ExecuteRequest["parameters"],
    ports: settings.VsockStdioRelaySettings ?? {},
  };
}

/** Dials what the host asks for and answers with a process; one whose program is `exit` ends at once. */
async function execute(guest: OrdinaryGuest, request: GuestRequest): Promise<void> {
  const { parameters, ports } = readExecute(request);
  const streams = Object.fromEntries(
    await Promise.all(Object.entries(ports).map(async ([name, port]) => [name, await guest.dial(port)] as const)),
  ) as { readonly [name: string]: Socket };
  startProcess(guest, request, parameters.OCIProcess?.args, streams);
}

export function startProcess(
  guest: OrdinaryGuest,
  request: GuestRequest,
  execArgs: readonly string[] | undefined,
  streams: FakeProcess["streams"],
): FakeProcess {
  const isInit = execArgs === undefined;
  const one = guest.processes.add(request.containerId, isInit, streams);
  streams.StdIn?.resume();
  guest.answer(request, { ProcessId: one.pid });
  const [program, status = "0"] = execArgs ?? guest.processes.programOf(request.containerId);
  if (program === "exit") void guest.processes.end(one, Number(status));
  else if (isInit && isVictim(request.containerId)) guest.victimRuns();
  return one;
}
