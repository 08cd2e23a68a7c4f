/** A few unary gRPC calls to containerd, for what its ctr cannot do itself. */
import { connect as connectHttp2, constants } from "node:http2";
import { connect } from "node:net";
import { messageOf } from "@uvm-shim/lifecycle";
import protobuf from "protobufjs";
import { patient } from "../support/guest-kind.ts";

/** The name of containerd's own sandbox controller, which starts a shim. */
export const SHIM_CONTROLLER = "shim";
const SPEC_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
/** Until containerd 2.3, the address of a task's sandbox is a field of runc's options, whatever the runtime. */
const TASK_OPTIONS_TYPE = "containerd.runc.v1.Options";
const CALL_MS = patient(30_000);
/** Before each message: whether it is compressed, and its length. */
const FRAME_PREFIX = 5;

const RESOURCES_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";
const SANDBOXES = "containerd.services.sandbox.v1";
const TASKS = "containerd.services.tasks.v1";
const CONTAINERS = "containerd.services.containers.v1";

/** Field numbers as containerd's public API has them: api/types/*.proto, api/services/{containers,sandbox,tasks}/v1/*.proto. */
const { root: messages } = protobuf.parse(`
  syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Sandbox {
    message Runtime { string name = 1; Any options = 2; }
    string sandbox_id = 1;
    Runtime runtime = 2;
    Any spec = 3;
    string sandboxer = 10;
  }
  message StoreGetRequest { string sandbox_id = 1; }
  message StoreGetResponse { Sandbox sandbox = 1; }
  message StoreCreateRequest { Sandbox sandbox = 1; }
  message StoreDeleteRequest { string sandbox_id = 1; }
  message ControllerCreateRequest { string sandbox_id = 1; Sandbox sandbox = 6; string sandboxer = 10; }
  message ControllerStartRequest { string sandbox_id = 1; string sandboxer = 10; }
  message ControllerStatusRequest { string sandbox_id = 1; }
  message ControllerStatusResponse { string address = 8; uint32 version = 9; }
  message Mount { string type = 1; string source = 2; string target = 3; repeated string options = 4; }
  message CreateTaskRequest { string container_id = 1; repeated Mount rootfs = 3; Any options = 9; }
  message TaskOptions { string task_api_address = 12; uint32 task_api_version = 13; }
  message StartRequest { string container_id = 1; string exec_id = 2; }
  message ControllerMetricsRequest { string sandbox_id = 1; string sandboxer = 10; }
  message Metric { string id = 2; Any data = 3; }
  message ControllerMetricsResponse { Metric metrics = 1; }
  message MetricsRequest { repeated string filters = 1; }
  message MetricsResponse { repeated Metric metrics = 1; }
  message ListPidsRequest { string container_id = 1; }
  message ProcessInfo { uint32 pid = 1; Any info = 2; }
  message ListPidsResponse { repeated ProcessInfo processes = 1; }
  message Container {
    string id = 1;
    map<string, string> labels = 2;
    string image = 3;
    Sandbox.Runtime runtime = 4;
    Any spec = 5;
    string snapshotter = 6;
    string snapshot_key = 7;
    map<string, Any> extensions = 10;
    string sandbox = 11;
  }
  message CreateContainerRequest { Container container = 1; }
  message UpdateTaskRequest { string container_id = 1; Any resources = 2; }
`);

export interface Endpoint {
  readonly socket: string;
  readonly namespace: string;
}

/** Where the tasks of a sandbox are served. */
export interface TaskEndpoint {
  readonly address: string;
  readonly version: number;
}

/**
 * Creates and starts a sandbox by the calls that ctr makes from containerd 2.2 on. The ctr of 2.1 records the sandbox
 * without saying which controller it is for, and containerd then refuses to start it.
 */
export async function runSandbox(
  endpoint: Endpoint,
  request: { readonly id: string; readonly runtime: string; readonly spec: object; readonly sandboxer: string },
): Promise<void> {
  const { id: sandboxId, sandboxer } = request;
  const spec = { typeUrl: SPEC_TYPE, value: Buffer.from(JSON.stringify(request.spec)) };
  const sandbox = { sandboxId, runtime: { name: request.runtime }, spec, sandboxer };
  await call(endpoint, `${SANDBOXES}.Store/Create`, "StoreCreateRequest", { sandbox });
  try {
    const controlled = { sandboxId, sandbox, sandboxer };
    await call(endpoint, `${SANDBOXES}.Controller/Create`, "ControllerCreateRequest", controlled);
    await call(endpoint, `${SANDBOXES}.Controller/Start`, "ControllerStartRequest", { sandboxId, sandboxer });
  } catch (error) {
    await forgetSandbox(endpoint, sandboxId);
    throw error;
  }
}

/** Where the tasks of a sandbox are served: its sandboxer is asked, since containerd 2.1 leaves that out of its own answers. */
export async function taskEndpointOf(sandboxer: Endpoint, sandboxId: string): Promise<TaskEndpoint> {
  const answer = await call(sandboxer, `${SANDBOXES}.Controller/Status`, "ControllerStatusRequest", { sandboxId });
  return messages.lookupType("ControllerStatusResponse").decode(answer) as unknown as TaskEndpoint;
}

/** Removes containerd's record of a sandbox. */
export async function forgetSandbox(endpoint: Endpoint, sandboxId: string): Promise<void> {
  await call(endpoint, `${SANDBOXES}.Store/Delete`, "StoreDeleteRequest", { sandboxId });
}

/** What containerd has recorded of a sandbox. */
export async function sandboxRecord(
  endpoint: Endpoint,
  sandboxId: string,
): Promise<{ readonly runtime: { readonly name: string; readonly options: Any | null } }> {
  const answer = await call(endpoint, `${SANDBOXES}.Store/Get`, "StoreGetRequest", { sandboxId });
  const { sandbox } = messages.lookupType("StoreGetResponse").decode(answer) as unknown as {
    readonly sandbox: Awaited<ReturnType<typeof sandboxRecord>>;
  };
  return sandbox;
}

/**
 * Creates and starts the task of a container on a root file system of the caller's, where ctr would take the
 * container's snapshot. It has no stdio.
 *
 * @param at where the sandbox serves it, for one whose controller is not containerd's own.
 */
export async function startTask(
  endpoint: Endpoint,
  containerId: string,
  rootfs: { readonly type: string; readonly source: string; readonly options: readonly string[] },
  at?: TaskEndpoint,
): Promise<void> {
  const options = at && { typeUrl: TASK_OPTIONS_TYPE, value: taskOptions(at) };
  const request = { containerId, rootfs: [rootfs], ...(options && { options }) };
  await call(endpoint, `${TASKS}.Tasks/Create`, "CreateTaskRequest", request);
  await call(endpoint, `${TASKS}.Tasks/Start`, "StartRequest", { containerId });
}

function taskOptions({ address, version }: TaskEndpoint): Uint8Array {
  const options = { taskApiAddress: address, taskApiVersion: version };
  return messages.lookupType("TaskOptions").encode(options).finish();
}

export interface Any {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

export interface ContainerRecord {
  readonly id: string;
  readonly labels: { readonly [name: string]: string };
  readonly image: string;
  readonly runtime: { readonly name: string; readonly options: Any | null };
  readonly spec: object;
  readonly snapshotter: string;
  readonly snapshotKey: string;
  readonly extensions: { readonly [name: string]: Any };
  /** The id of the sandbox that it is in. */
  readonly sandbox: string;
}

/** Records a container, whose task can then be started; its snapshot must be there. */
export async function createContainer(endpoint: Endpoint, container: ContainerRecord): Promise<void> {
  const spec = { typeUrl: SPEC_TYPE, value: Buffer.from(JSON.stringify(container.spec)) };
  const request = { container: { ...container, spec } };
  await call(endpoint, `${CONTAINERS}.Containers/Create`, "CreateContainerRequest", request);
}

/** What the shims of the tasks measure of them. */
export async function taskMetrics(
  endpoint: Endpoint,
  ids: readonly string[],
): Promise<readonly { readonly id: string; readonly data: Any }[]> {
  const request = { filters: ids.map((id) => `id==${id}`) };
  const answer = await call(endpoint, `${TASKS}.Tasks/Metrics`, "MetricsRequest", request);
  const { metrics } = messages.lookupType("MetricsResponse").decode(answer) as unknown as {
    readonly metrics: readonly { readonly id: string; readonly data: Any }[];
  };
  return metrics;
}

/** The processes of a task. */
export async function taskPids(endpoint: Endpoint, containerId: string): Promise<readonly { readonly pid: number }[]> {
  const answer = await call(endpoint, `${TASKS}.Tasks/ListPids`, "ListPidsRequest", { containerId });
  const { processes } = messages.lookupType("ListPidsResponse").decode(answer) as unknown as {
    readonly processes: readonly { readonly pid: number }[];
  };
  return processes;
}

/** What the shim of a sandbox measures of it: the type and the bytes. */
export async function sandboxMetrics(endpoint: Endpoint, sandboxId: string, sandboxer: string): Promise<Any> {
  const request = { sandboxId, sandboxer };
  const answer = await call(endpoint, `${SANDBOXES}.Controller/Metrics`, "ControllerMetricsRequest", request);
  const { metrics } = messages.lookupType("ControllerMetricsResponse").decode(answer) as unknown as {
    readonly metrics: { readonly data: Any };
  };
  return metrics.data;
}

/** Changes the limits of a task, which ctr cannot. */
export async function updateTask(endpoint: Endpoint, containerId: string, resources: object): Promise<void> {
  const value = Buffer.from(JSON.stringify(resources));
  const request = { containerId, resources: { typeUrl: RESOURCES_TYPE, value } };
  await call(endpoint, `${TASKS}.Tasks/Update`, "UpdateTaskRequest", request);
}

/** Calls a method, and answers with the message that came back; rejects with its gRPC status. */
function call(endpoint: Endpoint, method: string, type: string, request: object): Promise<Uint8Array> {
  const encoded = messages.lookupType(type).encode(request).finish();
  // gRPC's frame: not compressed, and the length.
  const prefix = Buffer.alloc(FRAME_PREFIX);
  prefix.writeUInt32BE(encoded.byteLength, 1);
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void => {
      session.destroy();
      reject(new Error(`${method}: ${messageOf(cause)}`, { cause }));
    };
    const session = connectHttp2("http://localhost", { createConnection: () => connect(endpoint.socket) });
    session.on("error", fail);
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: "POST",
      [constants.HTTP2_HEADER_PATH]: `/${method}`,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
      [constants.HTTP2_HEADER_TE]: "trailers",
      "containerd-namespace": endpoint.namespace,
    });
    let status: { readonly code: unknown; readonly message: unknown } | undefined;
    const readStatus = (headers: { readonly [name: string]: unknown }): void => {
      if (headers["grpc-status"] !== undefined)
        status = { code: headers["grpc-status"], message: headers["grpc-message"] };
    };
    // An error without an answer comes in the headers, any other status in the trailers.
    stream.on("response", readStatus).on("trailers", readStatus);
    stream.setTimeout(CALL_MS, () => fail(`no answer within ${CALL_MS} ms`));
    stream.on("error", fail);
    stream.on("end", () => {
      if (String(status?.code) !== "0") {
        fail(status === undefined ? "answered without a status" : `gRPC status ${status.code}: ${status.message}`);
        return;
      }
      session.close();
      resolve(Buffer.concat(received).subarray(FRAME_PREFIX));
    });
    const received: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => received.push(chunk));
    stream.end(Buffer.concat([prefix, encoded]));
  });
}
