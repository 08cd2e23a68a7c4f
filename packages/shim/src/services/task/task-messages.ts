/** Conversions between the Task service's messages and the shim's types. */
import { ShimError } from "../../errors.ts";
import { containerd, type google } from "../../generated/messages.js";
import type { ListedProcess, WindowsProcessFigures } from "../../platform.ts";
import { encodeFields } from "../../program/protobuf-wire.ts";
import { parseSpecification } from "../../specification-json.ts";
import { exitFields, timestampOfText } from "../messages.ts";
import type { DeleteAnswer } from "./process-record.ts";

type Requests = typeof containerd.task.v2;
/** A message of the Task service by name. */
export type Request<Name extends keyof Requests> = Requests[Name] extends new (
  ...properties: never[]
) => infer Message
  ? Message
  : never;

const expected = "an OCI process specification";

/** Unambiguous because ids contain no slash. */
export function keyOf(id: string, execId: string): string {
  return `${id}/${execId}`;
}

/** An entry of the list of a task's processes, with what clients of its system expect to be told of it. */
export function processInfo({ pid, execId = "", details }: ListedProcess) {
  if (details !== undefined) return { pid, info: windowsDetails(pid, execId, details) };
  return execId === "" ? { pid } : { pid, info: execDetails(execId) };
}

/** The type that runc's shim uses: `ctr task ps` fails on types that it does not know. */
function execDetails(execId: string) {
  return { type_url: "containerd.runc.v1.ProcessDetails", value: encodeFields([[1, execId]]) };
}

/** The type of the runhcs shim, which clients of Windows tasks know. */
function windowsDetails(processId: number, execId: string, details: WindowsProcessFigures) {
  const createdAt = timestampOfText(details.CreateTimestamp);
  const message = {
    imageName: details.ImageName ?? "",
    ...(createdAt && { createdAt }),
    kernelTime_100Ns: details.KernelTime100ns,
    memoryCommitBytes: details.MemoryCommitBytes,
    memoryWorkingSetPrivateBytes: details.MemoryWorkingSetPrivateBytes,
    memoryWorkingSetSharedBytes: details.MemoryWorkingSetSharedBytes,
    processId,
    userTime_100Ns: details.UserTime100ns,
    execId,
  };
  const { ProcessDetails } = containerd.runhcs.v1;
  return { type_url: "containerd.runhcs.v1.ProcessDetails", value: ProcessDetails.encode(message).finish() };
}

/** The answer to a deletion. */
export function answerOf({ pid, exit }: DeleteAnswer) {
  return { pid, ...exitFields(exit) };
}

/** An exec's specification as parsed JSON, unchecked; InvalidArgument if it is none. */
export function parseProcess(request: {
  readonly id: string;
  readonly execId: string;
  readonly spec: google.protobuf.Any | null;
}): unknown {
  const subject = `exec ${request.execId} in task ${request.id}: spec`;
  if (request.spec === null) throw new ShimError("InvalidArgument", `${subject} is missing, expected ${expected}`);
  return parseSpecification(`${subject} is`, request.spec.value, expected);
}
