import type { StateTree } from "@uvm-shim/shim/protocol";
import type { RecordLine } from "@uvm-shim/shim/record";

export const begin = Date.parse("2026-11-29T12:00:00.000Z");

export function timeAt(milliseconds: number): string {
  return new Date(begin + milliseconds).toISOString();
}

/** Whoever puts this into a page or a terminal as it is has a hole. */
export const hostile = `\u001b[31m<script>alert("x")</script>\u202e&amp;'`;

/** Lines in order, numbered from 1. */
export class Lines {
  readonly all: RecordLine[] = [];

  add(at: number, line: { readonly type: RecordLine["type"] } & { readonly [field: string]: unknown }): number {
    const seq = this.all.length + 1;
    this.all.push({ seq, time: timeAt(at), ...line } as unknown as RecordLine);
    return seq;
  }

  header(at = 0): number {
    return this.add(at, {
      ...{ type: "header", schema: 1, by: "serve", shim: "containerd-shim-lcow-v2", version: "0.1.0", flavour: "lcow" },
      ...{ namespace: "default", id: "web", bundle: "/bundle", pid: 4121, processStartTime: "1", socket: "/s" },
      ...{ events: "", host: "", installed: "/opt/uvm-shim", logLevel: "info" },
    });
  }

  /** Work, with the work in it; without a duration it has no end. */
  work(
    kind: string,
    name: string,
    at: number,
    ms?: number,
    more: {
      readonly parts?: (parent: number) => void;
      readonly attributes?: object;
      readonly error?: object;
      readonly parent?: number;
      readonly activityId?: string;
    } = {},
  ): number {
    const { parts, attributes, error, parent, activityId } = more;
    const seq = this.add(at, {
      ...{ type: "began", kind, name },
      ...{ ...(attributes && { attributes }), ...(parent && { parent }), ...(activityId && { activityId }) },
    });
    parts?.(seq);
    if (ms !== undefined) this.add(at + ms, { type: "ended", of: seq, name, ms, ...(error && { error }) });
    return seq;
  }
}

/** The start of a pod, its hours of work, and a container that cannot be created. */
export function sampleLines(): readonly RecordLine[] {
  const lines = new Lines();
  lines.header();
  lines.work("request", "Sandbox/StartSandbox", 60, 740, {
    activityId: "0a1b2c3d-0000-4000-8000-000000000001",
    parts: (parent) => {
      lines.work("phase", "start VM", 62, 560, {
        parent,
        parts: (vm) => {
          lines.work("host-call", "start", 64, 118, { parent: vm });
          lines.work("phase", "wait for the guest to dial in", 190, 340, { parent: vm });
          lines.add(530, { type: "occurred", name: "guest dialled", attributes: { port: 1 } });
        },
      });
      lines.add(622, {
        type: "state",
        subject: "VM",
        id: "default-web@vm",
        operation: "start",
        from: "Created",
        to: "Running",
        outcome: "success",
      });
    },
  });
  lines.work("request", "Task/Wait", 900, 7_200_000, { attributes: { container: "web" } });
  lines.work("request", "Task/Create", 7_201_000, 310, {
    attributes: { container: hostile },
    error: { code: "NotFound", message: "create side: cannot acquire layer" },
    parts: (parent) => {
      const error = { code: "NotFound", message: `the host does not find ${hostile}` };
      lines.work("host-call", "modify", 7_201_010, 290, { parent, error });
    },
  });
  lines.add(7_202_000, { type: "occurred", name: "vm exited", attributes: { status: 0 } });
  return lines.all;
}

export function sampleState(): StateTree {
  const since = timeAt(0);
  return {
    version: 1,
    takenAt: timeAt(120_000),
    shim: {
      ...{
        name: "containerd-shim-lcow-v2",
        version: "0.1.0",
        flavour: "lcow",
        id: "web",
        namespace: "default",
        bundle: "/b",
      },
      ...{ pid: 4121, startedAt: since, uptimeSeconds: 120, runtime: "Node v26.10.0", handles: {} },
      memory: { rss: 64 * 2 ** 20, heapUsed: 0, heapTotal: 0, external: 0 },
      eventLoop: { utilization: 0.012 },
      descriptors: { open: 34 },
    },
    host: { kind: "emulated", address: "/run/host.sock", connected: true },
    sandbox: {
      ...{
        id: "web",
        namespace: "default",
        mode: "api",
        os: "linux",
        state: "running",
        since,
        ready: true,
        stopping: false,
      },
      ...{ pid: 12, createdAt: since },
    },
    vm: { id: "default-web@vm", state: "Running", since, startedAt: since, isLost: false, held: ["listener", "guest"] },
    containers: [
      {
        ...{
          id: "web-app",
          state: "Running",
          since,
          paused: false,
          bundle: "/b/web-app",
          held: ["layer", "combined layers"],
        },
        processes: [
          { execId: "", state: "running", since, pid: 33 },
          { execId: "shell", state: "stopped", since, pid: 34, exit: { status: 3, at: since } },
        ],
      },
    ],
    disks: [
      {
        ...{ hostPath: `/disk-${hostile}`, controller: 0, lun: 1, state: "Attached", since, isOfDocument: false },
        mounts: [{ guestPath: "/run/mounts/1", partition: 0, state: "Mounted", since, holders: 2 }],
      },
    ],
    shares: [],
    networks: [],
    devices: [],
    diagnostics: { shares: [], programs: [] },
    calls: [
      {
        method: "containerd.task.v3.Task/Create",
        since,
        milliseconds: 119_000,
        activityId: "0a1b2c3d-0000-4000-8000-000000000002",
      },
    ],
    work: [
      {
        ...{
          kind: "guest-request",
          name: "createContainer",
          attributes: { container: "slow" },
          since,
          milliseconds: 118_000,
        },
        within: ["Task/Create", "acquire guest's container"],
      },
    ],
    machines: [
      { subject: "VM", id: "default-web@vm", state: "Running", since, operation: "start", outcome: "success" },
    ],
    events: { queued: 0, dropped: 0 },
  };
}
