import type { StateTree } from "@uvm-shim/shim/protocol";
import { type Context, checkOperands, timeoutOf, writeJson } from "../context.ts";
import { ago } from "../output/duration.ts";
import { type Cell, type Row, type Style, writeTable } from "../output/output.ts";
import { nameOf, type Pod } from "../pods/pod.ts";
import { type Surveyed, survey } from "../shim/survey.ts";

/** What containerd lets a namespace or an id be. Completions of shells read the names, and bash expands what it reads. */
const harmless = /^[\w.-]+(?:\/[\w.-]+)?$/;

/** Somebody waits in front of the list, and one shim that hangs must not hold it up for long. */
const longestWaitMs = 3000;

export async function list(context: Context): Promise<number> {
  checkOperands(context, 0, 0);
  const { output, options, env } = context;
  const pods = context.findPods();
  if (options.ids !== undefined) {
    for (const name of pods.map(nameOf)) if (harmless.test(name)) output.line(name);
    return 0;
  }
  const surveyed = await survey(pods, {
    timeoutMs: Math.min(longestWaitMs, timeoutOf(context)),
    signal: context.signal,
  });
  if (options.json !== undefined) writeJson(output, surveyed.map(asJson));
  else if (surveyed.length === 0) output.line(noPods(env));
  else {
    const now = context.now();
    writeTable(
      output,
      ["NAME", "KIND", "STATE", "PID", "SINCE", "DETAILS"],
      surveyed.flatMap((one) => rowsOf(one, now)),
    );
  }
  return 0;
}

export function noPods({ UVM_SHIM_RECORDS }: NodeJS.ProcessEnv): string {
  const where = UVM_SHIM_RECORDS ? ` in ${UVM_SHIM_RECORDS}` : "";
  return `No pods: no shim of uvm-shim runs on this machine, and none left a record${where}.`;
}

function rowsOf({ pod, answer }: Surveyed, now: Date): readonly Row[] {
  const name: Cell = { text: nameOf(pod), style: "bold" };
  switch (answer.kind) {
    case "state":
      return treeRows(pod, answer.tree, now);
    case "diag":
      return [
        [
          name,
          "pod",
          stateCell("serving"),
          pidCell(answer.pid),
          undefined,
          `${pod.shim || "a shim of hcsshim"} (its State is not known)`,
        ],
        ...answer.tasks.flatMap((task): readonly Row[] => [
          [`  ${task.id}`, "container"],
          ...task.execs.map(({ id, state }): Row => [`    ${id || "init"}`, "process", stateCell(state)]),
        ]),
      ];
    case "silent":
      return [[name, "pod", stateCell("no answer"), pidCell(pod.pid), undefined, answer.reason]];
    case "gone":
      return [[name, "pod", stateCell("shim gone"), undefined, undefined, goneDetails(pod)]];
  }
}

function goneDetails({ record, bundle }: Pod): string {
  const left = [...(bundle === undefined ? [] : ["its bundle"]), ...(record === undefined ? [] : ["a record"])];
  return left.length === 0 ? "" : `left: ${left.join(" and ")}`;
}

function treeRows(pod: Pod, tree: StateTree, now: Date): readonly Row[] {
  const { shim, sandbox, vm, containers, calls } = tree;
  const waiting = calls.filter(({ method }) => !isPatient(method)).length;
  const details = `${shim.name} ${shim.version}, ${shim.runtime}${waiting === 0 ? "" : `, ${waiting} calls not answered yet`}`;
  const since = (time: string | undefined): string => ago(time, now) ?? "";
  return [
    [
      { text: nameOf(pod), style: "bold" },
      "pod",
      stateCell(podState(tree)),
      pidCell(shim.pid),
      since(sandbox?.since ?? sandbox?.createdAt ?? shim.startedAt),
      details,
    ],
    ...(vm === undefined
      ? []
      : [
          [
            `  ${vm.id}`,
            "VM",
            stateCell(vm.isLost ? `${vm.state}, lost` : vm.state),
            undefined,
            since(vm.since ?? vm.startedAt),
          ],
        ]),
    ...containers.flatMap((container): readonly Row[] => {
      const init = container.processes.find(({ execId }) => execId === "");
      const state = container.paused ? "paused" : container.state;
      return [
        [
          `  ${container.id}`,
          "container",
          stateCell(state),
          pidCell(init?.pid),
          since(container.since),
          init?.exit === undefined ? "" : `exited with ${init.exit.status}`,
        ],
        ...container.processes
          .filter(({ execId }) => execId !== "")
          .map((exec): Row => {
            const exit = exec.exit === undefined ? "" : `exited with ${exec.exit.status}`;
            return [`    ${exec.execId}`, "exec", stateCell(exec.state), pidCell(exec.pid), since(exec.since), exit];
          }),
      ];
    }),
  ];
}

/** Calls that take as long as what they wait for lives, and the question that this answers. */
export function isPatient(method: string): boolean {
  return /(^|\.)(Task\/Wait|Sandbox\/WaitSandbox|Inspect\/\w+)$/.test(method);
}

function podState({ sandbox, vm }: StateTree): string {
  if (sandbox === undefined) return "no sandbox";
  return vm?.isLost === true ? "lost" : sandbox.stopping ? "stopping" : sandbox.state;
}

export function stateCell(state: string): Cell {
  const style = styleOf(state.toLowerCase());
  return style === undefined ? { text: state } : { text: state, style };
}

function styleOf(state: string): Style | undefined {
  if (/lost|gone|no answer|fail|invalid/.test(state)) return "red";
  if (/running|serving|ready|attached|mounted|mapped|active|complete/.test(state)) return "green";
  if (/creat|start|paus|stopping|pending/.test(state)) return "yellow";
  return undefined;
}

function pidCell(pid: number | undefined): Cell | undefined {
  return pid === undefined || pid === 0 ? undefined : { text: `${pid}`, align: "right" };
}

function asJson({ pod, answer }: Surveyed): unknown {
  const { namespace, id, socket, bundle, record, pid } = pod;
  const found = { namespace, id, socket, bundle, record };
  switch (answer.kind) {
    case "gone":
      return {
        ...found,
        state: "gone",
        shim: { name: pod.shim, answers: false },
        containers: pod.members.map((id) => ({ id })),
      };
    case "silent":
      return {
        ...found,
        state: "silent",
        shim: { name: pod.shim, pid, answers: false, problem: answer.reason },
        containers: [],
      };
    case "diag":
      return {
        ...found,
        state: "serving",
        shim: { name: pod.shim, pid: answer.pid, answers: true },
        containers: answer.tasks,
      };
    case "state": {
      const { shim, sandbox, vm, containers } = answer.tree;
      const { name, version, flavour, runtime, pid, startedAt } = shim;
      return {
        ...found,
        state: podState(answer.tree),
        shim: { name, version, flavour, runtime, pid, startedAt, answers: true },
        sandbox,
        vm: vm && { id: vm.id, state: vm.state, since: vm.since, isLost: vm.isLost },
        containers: containers.map(({ id, state, since, paused, processes }) => ({
          id,
          state,
          since,
          paused,
          processes,
        })),
      };
    }
  }
}
