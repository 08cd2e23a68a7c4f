import type { StateTree } from "@uvm-shim/shim/protocol";
import { type Context, checkOperands, patienceOf, podAndRest, withShim, writeJson } from "../context.ts";
import { ago, duration } from "../output/duration.ts";
import { type Output, type Row, writeTable } from "../output/output.ts";
import { plain } from "../output/plain.ts";
import { nameOf } from "../pods/pod.ts";
import { parseState } from "../shim/state.ts";
import { survey } from "../shim/survey.ts";
import { attributesText } from "../timeline/describe.ts";
import { noPods, stateCell } from "./list.ts";

const mostMachines = 60;

export async function state(context: Context): Promise<number> {
  const { output, options, operands } = context;
  checkOperands(context, 0, 1);
  if (operands.length === 0 && options.socket === undefined) return await stateOfAll(context);
  const { pod } = podAndRest(context, { least: 0, most: 0 });
  const tree = await withShim(pod, context, async (client) => parseState(await client.state()));
  if (options.json !== undefined) writeJson(output, tree);
  else writeState(output, tree);
  return 0;
}

async function stateOfAll(context: Context): Promise<number> {
  const { output, options } = context;
  const pods = context.findPods();
  const surveyed = await survey(pods, patienceOf(context));
  const trees = surveyed.flatMap(({ answer }) => (answer.kind === "state" ? [answer.tree] : []));
  for (const { pod, answer } of surveyed) {
    if (answer.kind === "gone") output.note(`${plain(nameOf(pod))}: its shim is gone`);
    if (answer.kind === "silent") output.note(`${plain(nameOf(pod))}: ${answer.reason}`);
    if (answer.kind === "diag") output.note(`${plain(nameOf(pod))}: its shim does not tell its state, only its tasks`);
  }
  if (options.json !== undefined) writeJson(output, trees);
  else if (pods.length === 0) output.line(noPods(context.env));
  else {
    trees.forEach((tree, index) => {
      if (index > 0) output.line();
      writeState(output, tree);
    });
  }
  return surveyed.some(({ answer }) => answer.kind === "silent") ? 1 : 0;
}

/** All of a pod's state, as text. */
export function writeState(output: Output, tree: StateTree): void {
  const now = new Date(tree.takenAt);
  const since = (time: string | undefined): string => ago(time, now) ?? "";
  const { shim, host, sandbox, vm } = tree;
  output.line(output.style("bold", plain(`${shim.namespace}/${shim.id}`)));
  const facts: [string, string | undefined][] = [
    [
      "shim",
      `${shim.name} ${shim.version}, pid ${shim.pid}, up ${duration(shim.uptimeSeconds * 1000)}, ${shim.runtime}`,
    ],
    [
      "",
      `${mebibytes(shim.memory?.rss)} resident, ${shim.descriptors?.open ?? "?"} descriptors, event loop ${percent(shim.eventLoop?.utilization)} busy`,
    ],
    [
      "host",
      host &&
        `${host.kind}, ${host.connected ? "connected" : "not connected"}${host.address ? ` at ${host.address}` : ""}`,
    ],
    [
      "sandbox",
      sandbox === undefined
        ? "none"
        : `${sandbox.state}${sandbox.mode ? ` (${sandbox.mode})` : ""}, ${sandbox.ready ? "accepts containers" : "accepts no containers"}${sandbox.stopping ? ", stopping" : ""}${exitText(sandbox.exit)}`,
    ],
    [
      "VM",
      vm &&
        `${vm.state}${vm.since ? ` for ${since(vm.since)}` : ""}${vm.isLost ? ", connection to its guest lost" : ""}${exitText(vm.exit)}`,
    ],
    ["", vm && `${vm.id}${vm.memoryInMb ? `, ${vm.memoryInMb} MiB` : ""}`],
    ["holds", vm && vm.held.length > 0 ? vm.held.join(", ") : undefined],
    ["events", tree.events && eventsText(tree.events)],
  ];
  for (const [name, text] of facts) if (text !== undefined) output.line(`  ${name.padEnd(9)}${plain(text)}`);
  const section = (title: string, header: readonly string[], rows: readonly Row[]): void => {
    if (rows.length === 0) return;
    output.line();
    output.line(output.style("cyan", title));
    writeTable(output, header, rows);
  };
  section(
    "Containers and their processes",
    ["NAME", "STATE", "SINCE", "PID", "DETAILS"],
    tree.containers.flatMap((container): readonly Row[] => [
      [
        container.id,
        stateCell(container.paused ? "paused" : container.state),
        since(container.since),
        undefined,
        container.held.join(", "),
      ],
      ...container.processes.map(
        ({ execId, state, since: at, pid, exit, isDraining }): Row => [
          `  ${execId || "init"}`,
          stateCell(state),
          since(at),
          pid === undefined ? "" : `${pid}`,
          `${exit === undefined ? "" : `exited with ${exit.status}`}${isDraining === true ? "has ended, its output is still on its way" : ""}`,
        ],
      ),
    ]),
  );
  section(
    "Disks",
    ["DISK", "SLOT", "STATE", "SINCE", "MOUNTS"],
    tree.disks.map((disk) => [
      disk.hostPath,
      `${disk.controller}:${disk.lun}`,
      stateCell(disk.state),
      since(disk.since),
      disk.mounts.map((mount) => `${mount.guestPath} (${mount.state}, ${mount.holders} users)`).join(", "),
    ]),
  );
  section(
    "Shares",
    ["HOST", "KIND", "STATE", "SINCE", "USERS", "NAME"],
    tree.shares.map((share) => [
      share.hostPath,
      share.kind,
      stateCell(share.state),
      since(share.since),
      `${share.holders}`,
      `${share.name ?? ""}${share.mount ? ` (${share.mount})` : ""}`,
    ]),
  );
  section(
    "Networks",
    ["NAMESPACE", "STATE", "SINCE", "NICS"],
    tree.networks.map((network) => [
      network.namespaceId,
      stateCell(network.state),
      since(network.since),
      network.nics.map((nic) => `${nic.name || nic.id}${nic.isComplete ? "" : " (incomplete)"}`).join(", "),
    ]),
  );
  section(
    "Devices",
    ["DEVICE", "STATE", "SINCE", "USERS", "GUID"],
    tree.devices.map((device) => [
      device.deviceInstancePath,
      stateCell(device.state),
      since(device.since),
      `${device.holders}`,
      device.vmBusGuid,
    ]),
  );
  section(
    "Brought in by diagnosis",
    ["WHAT", "DETAILS"],
    [
      ...(tree.diagnostics?.shares ?? []).map(
        (share): Row => [share.hostPath, `share at ${share.guestPath}${share.readOnly ? ", read-only" : ""}`],
      ),
      ...(tree.diagnostics?.programs ?? []).map((one): Row => [one.program, `program, pid ${one.pid}, ${one.state}`]),
    ],
  );
  section(
    "Calls that are not answered yet",
    ["CALL", "SINCE", "ACTIVITY"],
    tree.calls
      .filter(({ method }) => !method.includes(".Inspect/"))
      .map((call) => [call.method, duration(call.milliseconds), call.activityId ?? ""]),
  );
  section(
    "What the shim waits for",
    ["WORK", "KIND", "SINCE", "WITHIN"],
    tree.work.map((work) => [
      `${work.name} ${attributesText(work.attributes)}`.trimEnd(),
      work.kind,
      duration(work.milliseconds),
      work.within.join(" › "),
    ]),
  );
  const machines = tree.machines.slice(-mostMachines);
  const left = tree.machines.length - machines.length;
  section(
    `State machines${left > 0 ? ` (the last ${machines.length} of ${tree.machines.length})` : ""}`,
    ["WHAT", "STATE", "SINCE", "BY", "ID"],
    machines.map((machine) => [
      machine.subject,
      stateCell(machine.state),
      since(machine.since),
      machine.outcome === "failure" ? { text: `${machine.operation} (failed)`, style: "red" } : machine.operation,
      machine.id,
    ]),
  );
}

function mebibytes(bytes: number | undefined): string {
  return bytes === undefined ? "?" : `${Math.round(bytes / 2 ** 20)} MiB`;
}

function percent(share: number | undefined): string {
  return share === undefined ? "?" : `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

function exitText(exit: { readonly status: number; readonly reason?: string } | undefined): string {
  if (exit === undefined) return "";
  return `, exited with ${exit.status}${exit.reason === undefined ? "" : `: ${exit.reason}`}`;
}

function eventsText({ queued, dropped, lastError }: StateTree["events"]): string {
  const lost = dropped > 0 ? `, ${dropped} dropped` : "";
  const error = lastError === undefined ? "" : `, last failure: ${lastError.message}`;
  return `${queued} wait to be delivered${lost}${error}`;
}
