/**
 * Calls between the emulator driver and the emulated host, over a Unix socket, one JSON object per line. A request has
 * an id and gets one answer with that id; events have none. A handle belongs to its connection and is closed with it,
 * as HCS closes the handles of a process that ends.
 */
import {
  anything,
  type Check,
  type ComputeSystemProperties,
  type CrashReport,
  checkComputeSystemProperties,
  checkCounter,
  checkCrashReport,
  checkGuid,
  checkSystemExitStatus,
  checkSystemPropertyTypes,
  closedObject,
  filledText,
  integer,
  list,
  oneOf,
  optional,
  SchemaError,
  type SystemExitStatus,
  type SystemPropertyType,
  text,
  truth,
} from "@uvm-shim/hcs-schema";
import {
  type EmulatedGuestServiceCalls,
  type EmulatedGuestServiceResults,
  guestServiceCallChecks,
  guestServiceResultChecks,
} from "./guest-service-calls.ts";
import {
  type EmulatedNetworkCalls,
  type EmulatedNetworkResults,
  networkCallChecks,
  networkResultChecks,
} from "./network-calls.ts";

/** Changes with every change of a call, result or event. Driver and host with different versions do not work together. */
export const emulatedHostProtocolVersion = 1;

/** The longest line that either end accepts. */
export const emulatedHostMaximumLineBytes = 4 * 1024 * 1024;

/** Arguments of each call. */
export interface EmulatedHostCalls extends EmulatedNetworkCalls, EmulatedGuestServiceCalls {
  readonly hello: { readonly version: number };
  readonly create: { readonly system: string; readonly document: unknown };
  readonly open: { readonly system: string };
  readonly enumerate: { readonly owner?: string };
  readonly grantVmAccess: { readonly system: string; readonly path: string };
  /**
   * Windows has no such call. Places a system that has not started below a cgroup of this machine, and the process that
   * serves the pod in it, until the system has ended.
   */
  readonly joinControlGroup: { readonly system: string; readonly path: string; readonly pid?: number };
  /** A fault for tests. A frozen guest keeps everything and does nothing until it is thawed or ended. */
  readonly freeze: { readonly system: string; readonly isFrozen: boolean };
  readonly start: { readonly handle: number };
  readonly shutdown: { readonly handle: number };
  readonly terminate: { readonly handle: number };
  readonly modify: { readonly handle: number; readonly request: unknown };
  readonly properties: { readonly handle: number; readonly types: readonly SystemPropertyType[] };
  /** On Windows, the working set of the process that backs the VM's memory. */
  readonly workingSet: { readonly handle: number };
  readonly close: { readonly handle: number };
}

/** The handle of a system that the connection has created or opened. */
export interface EmulatedHandle {
  readonly handle: number;
  readonly runtimeId: string;
  /** Base path of the VM's hvsockets; see hvsockets.ts. */
  readonly vsockBase: string;
}

/** Result of each call. */
export interface EmulatedHostResults extends EmulatedNetworkResults, EmulatedGuestServiceResults {
  readonly hello: { readonly version: number };
  readonly create: EmulatedHandle;
  readonly open: EmulatedHandle;
  readonly enumerate: { readonly systems: readonly ComputeSystemProperties[] };
  readonly grantVmAccess: object;
  readonly joinControlGroup: object;
  readonly freeze: object;
  readonly start: object;
  readonly shutdown: object;
  readonly terminate: object;
  readonly modify: object;
  readonly properties: ComputeSystemProperties;
  readonly workingSet: { readonly bytes: number };
  readonly close: object;
}

/** The name of a call. */
export type EmulatedHostCallName = keyof EmulatedHostCalls;

/** A line that the driver sends. */
export type EmulatedHostRequest = {
  readonly [Name in EmulatedHostCallName]: {
    readonly id: number;
    readonly call: Name;
    readonly arguments: EmulatedHostCalls[Name];
  };
}[EmulatedHostCallName];

/** Why a call failed, as HCS reports it. */
export interface EmulatedHostError {
  readonly hresult: number;
  readonly message: string;
  /** Error events as HCS returns them: details beyond the code. */
  readonly events?: readonly string[];
}

/** A line that the host sends: the answer to the request of that id, or an event of a system. */
export type EmulatedHostMessage =
  | { readonly kind: "result"; readonly id: number; readonly result: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: EmulatedHostError }
  | { readonly kind: "crashed"; readonly handle: number; readonly report: CrashReport }
  | { readonly kind: "exited"; readonly handle: number; readonly status: SystemExitStatus };

const id = integer(0);
const byHandle = closedObject<{ readonly handle: number }>({ handle: id });
const bySystem = closedObject<{ readonly system: string }>({ system: filledText });
const nothing: Check<object> = closedObject<Record<never, never>>({});
const opened = closedObject<EmulatedHandle>({ handle: id, runtimeId: checkGuid, vsockBase: filledText });

const callChecks: { readonly [Name in EmulatedHostCallName]: Check<EmulatedHostCalls[Name]> } = {
  hello: closedObject<{ readonly version: number }>({ version: id }),
  create: closedObject<EmulatedHostCalls["create"]>({ system: filledText, document: anything }),
  open: bySystem,
  enumerate: closedObject<EmulatedHostCalls["enumerate"]>({ owner: optional(text) }),
  grantVmAccess: closedObject<EmulatedHostCalls["grantVmAccess"]>({ system: filledText, path: filledText }),
  joinControlGroup: closedObject<EmulatedHostCalls["joinControlGroup"]>({
    system: filledText,
    path: filledText,
    pid: optional(integer(1)),
  }),
  freeze: closedObject<EmulatedHostCalls["freeze"]>({ system: filledText, isFrozen: truth }),
  start: byHandle,
  shutdown: byHandle,
  terminate: byHandle,
  modify: closedObject<EmulatedHostCalls["modify"]>({ handle: id, request: anything }),
  properties: closedObject<EmulatedHostCalls["properties"]>({ handle: id, types: checkSystemPropertyTypes }),
  workingSet: byHandle,
  close: byHandle,
  ...networkCallChecks,
  ...guestServiceCallChecks,
};

const resultChecks: { readonly [Name in EmulatedHostCallName]: Check<EmulatedHostResults[Name]> } = {
  hello: closedObject<{ readonly version: number }>({ version: id }),
  create: opened,
  open: opened,
  enumerate: closedObject<EmulatedHostResults["enumerate"]>({ systems: list(checkComputeSystemProperties) }),
  grantVmAccess: nothing,
  joinControlGroup: nothing,
  freeze: nothing,
  start: nothing,
  shutdown: nothing,
  terminate: nothing,
  modify: nothing,
  properties: checkComputeSystemProperties,
  workingSet: closedObject<EmulatedHostResults["workingSet"]>({ bytes: checkCounter }),
  close: nothing,
  ...networkResultChecks,
  ...guestServiceResultChecks,
};

const callName: Check<EmulatedHostCallName> = (value, path = "") => {
  const found = (Object.keys(callChecks) as EmulatedHostCallName[]).find((name) => name === value);
  if (found === undefined) {
    throw new SchemaError(path, `unknown call: expected one of ${Object.keys(callChecks).join(", ")}`);
  }
  return found;
};

const checkEnvelope = closedObject<{ id: number; call: EmulatedHostCallName; arguments: unknown }>({
  id,
  call: callName,
  arguments: anything,
});

/** Throws a SchemaError with the path of what is wrong; unknown calls and fields are. */
export const checkEmulatedHostRequest: Check<EmulatedHostRequest> = (value, path) => {
  const envelope = checkEnvelope(value, path);
  return {
    ...envelope,
    arguments: callChecks[envelope.call](envelope.arguments, "arguments"),
  } as EmulatedHostRequest;
};

/** Checks the result of a call. */
export function checkEmulatedHostResult<Name extends EmulatedHostCallName>(
  call: Name,
  result: unknown,
): EmulatedHostResults[Name] {
  return resultChecks[call](result, "result");
}

const messageChecks = {
  result: closedObject<Extract<EmulatedHostMessage, { kind: "result" }>>({
    kind: oneOf("result"),
    id,
    result: anything,
  }),
  error: closedObject<Extract<EmulatedHostMessage, { kind: "error" }>>({
    kind: oneOf("error"),
    id,
    error: closedObject<EmulatedHostError>({
      hresult: integer(0, 0xffffffff),
      message: text,
      events: optional(list(text)),
    }),
  }),
  crashed: closedObject<Extract<EmulatedHostMessage, { kind: "crashed" }>>({
    kind: oneOf("crashed"),
    handle: id,
    report: checkCrashReport,
  }),
  exited: closedObject<Extract<EmulatedHostMessage, { kind: "exited" }>>({
    kind: oneOf("exited"),
    handle: id,
    status: checkSystemExitStatus,
  }),
};

const messageKind = oneOf("result", "error", "crashed", "exited");

/**
 * Throws a SchemaError with the path of what is wrong. The result of a call is checked by `checkEmulatedHostResult`,
 * which knows what was called.
 */
export const checkEmulatedHostMessage: Check<EmulatedHostMessage> = (value, path) => {
  const kind = messageKind((value as { kind?: unknown } | null)?.kind, "kind");
  return messageChecks[kind](value, path);
};
