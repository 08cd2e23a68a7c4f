/** Conversions between the Task service's messages and the shim's types. */
import { ShimError } from "../../errors.ts";
import type { containerd, google } from "../../generated/messages.js";
import { encodeFields } from "../../program/protobuf-wire.ts";
import { jsonErrorPosition } from "../../redaction.ts";
import { exitFields } from "../messages.ts";
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

/** The type that runc's shim uses: `ctr task ps` fails on types that it does not know. */
export function execDetails(execId: string) {
  return { type_url: "containerd.runc.v1.ProcessDetails", value: encodeFields([[1, execId]]) };
}

export function answerOf({ pid, exit }: DeleteAnswer) {
  return { pid, ...exitFields(exit) };
}

export function parseProcess(request: {
  readonly id: string;
  readonly execId: string;
  readonly spec: google.protobuf.Any | null;
}): unknown {
  const subject = `exec ${request.execId} in task ${request.id}: spec`;
  if (request.spec === null) throw new ShimError("InvalidArgument", `${subject} is missing, expected ${expected}`);
  try {
    return JSON.parse(Buffer.from(request.spec.value).toString("utf8"));
  } catch (error) {
    throw new ShimError("InvalidArgument", `${subject} is not JSON${jsonErrorPosition(error)}, expected ${expected}`);
  }
}
