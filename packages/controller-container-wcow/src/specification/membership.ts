import type { OciWindowsSpec } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import type { WindowsPlanOptions } from "../plan/options.ts";
import {
  type Annotations,
  type AnnotationValues,
  expandedAnnotations,
  isForbiddenIn,
  isTrueIn,
  keyOf,
  readAnnotations,
  wrongAnnotation,
} from "./annotations.ts";
import { annotationsOfOptions, asksForVm } from "./runtime-options.ts";

/** A container's annotations with what its pod, its options and other annotations add to them. */
export interface Member {
  readonly annotations: Annotations;
  readonly values: AnnotationValues;
  readonly isHostProcess: boolean;
  /** Whether its own request asks for a virtual machine: a container of a pod need not. */
  readonly asksForVm: boolean;
}

/** What the container is to its pod. */
export function asMember(spec: OciWindowsSpec, options: WindowsPlanOptions, refuse: Refuse): Member {
  const { id, podId, role, runtimeOptions = {} } = options;
  if (role === "workload" && id === podId) {
    throw refuse("AlreadyExists", `${id} is the id of the pod's sandbox, expected another`);
  }
  const isInVm = asksForVm(runtimeOptions, spec.windows?.hyperv !== undefined, refuse);
  if (spec.windows === undefined && !isInVm) {
    throw refuse("InvalidArgument", "config.json: windows is missing: this pod runs Windows containers");
  }
  const own = expandedAnnotations({ ...annotationsOfOptions(runtimeOptions), ...spec.annotations }, refuse);
  const values = readAnnotations(own, refuse);
  checkRole(values, options, refuse);
  const isHostProcess = values.hostProcess === true;
  if (isHostProcess) checkHostProcess(values, isInVm, options, refuse);
  if (!isInVm && role === "standalone") {
    const expected = 'expected {}, or option sandbox_isolation "HYPERVISOR": containers run in virtual machines only';
    throw refuse("InvalidArgument", `config.json: windows.hyperv is missing, ${expected}`);
  }
  const annotations = withPodAnnotations(own, values, isHostProcess, options);
  return {
    annotations,
    values: { ...readAnnotations(annotations, refuse), ...forbidden(values, options) },
    isHostProcess,
    asksForVm: isInVm,
  };
}

function checkRole({ type, sandboxId }: AnnotationValues, { podId, role }: WindowsPlanOptions, refuse: Refuse): void {
  const expectedType = role === "workload" ? "container" : undefined;
  const expectedId = role === "workload" ? podId : undefined;
  if (type !== expectedType) throw wrongMembership("type", type, expectedType, refuse);
  if (sandboxId !== expectedId) throw wrongMembership("sandboxId", sandboxId, expectedId, refuse);
}

function wrongMembership(
  name: "type" | "sandboxId",
  given: string | undefined,
  expected: string | undefined,
  refuse: Refuse,
): Error {
  const wanted = expected === undefined ? "none for a container without a pod" : JSON.stringify(expected);
  if (given !== undefined) {
    const shown = JSON.stringify(given.slice(0, 130));
    return refuse("InvalidArgument", `annotation ${keyOf(name)} is ${shown}, expected ${wanted}`);
  }
  return refuse("InvalidArgument", `annotation ${keyOf(name)} is missing, expected ${wanted}`);
}

function checkHostProcess(
  values: AnnotationValues,
  isInVm: boolean,
  { vm, podAnnotations }: WindowsPlanOptions,
  refuse: Refuse,
): void {
  const wrong = (expected: string) => wrongAnnotation("hostProcess", "true", expected, refuse);
  if (values.disableHostProcess || isForbiddenIn(podAnnotations, "disableHostProcess")) {
    throw wrong(`false, as ${keyOf("disableHostProcess")} says`);
  }
  if (!isInVm) throw wrong("false without windows.hyperv: processes run in virtual machines only, never on the host");
  if (!vm.supportsHostProcesses) throw wrong("false: the VM's guest does not support host process containers");
}

/** Settings of host processes come with the pod, as Kubernetes annotates nothing else. */
const passedOn = ["hostProcessInheritsUser", "hostProcessRoot"] as const;

function withPodAnnotations(
  own: Annotations,
  values: AnnotationValues,
  isHostProcess: boolean,
  { podAnnotations }: WindowsPlanOptions,
): Annotations {
  const inherit = keyOf("hostProcessInheritsUser");
  // Only host processes may run as the system's account.
  if (!isHostProcess) return values.hostProcessInheritsUser === undefined ? own : { ...own, [inherit]: "false" };
  const passed = passedOn.map(keyOf).flatMap((key) => {
    const value = podAnnotations[key];
    return value === undefined ? [] : [[key, value] as const];
  });
  const all: Annotations = { ...own, ...Object.fromEntries(passed) };
  // In the one spelling that guests and processes' starters know.
  return {
    ...all,
    [keyOf("hostProcess")]: "true",
    ...(isTrueIn(all, "hostProcessInheritsUser") && { [inherit]: "true" }),
  };
}

/** What is forbidden for the pod is forbidden for its containers, and the other way about. */
function forbidden(own: AnnotationValues, { podAnnotations: pod }: WindowsPlanOptions): AnnotationValues {
  return {
    disableGmsa: own.disableGmsa === true || isForbiddenIn(pod, "disableGmsa"),
    noWritableFileShares: own.noWritableFileShares === true || isForbiddenIn(pod, "noWritableFileShares"),
  };
}
