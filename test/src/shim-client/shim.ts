/**
 * A client of a shim, such as containerd is one: it runs the executable's `start` and `delete`, and calls the services
 * of the process that serves.
 */
import { connect } from "node:net";
import { containerd } from "@uvm-shim/shim/protocol";
import { TtrpcClient } from "@uvm-shim/ttrpc";
import { type CommandResult, describe, runCommand } from "../support/command.ts";

export const Task = containerd.task.v3.Task;
export const Sandbox = containerd.runtime.sandbox.v1.Sandbox;

const { BootstrapParams, BootstrapResult, LogLevel } = containerd.runtime.bootstrap.v1;
/** What containerd allows a shim to take. */
const DELETE_MS = 5_000;

export interface ShimIdentity {
  readonly executable: string;
  readonly namespace: string;
  /** Of the sandbox, or of the task that has no sandbox. */
  readonly id: string;
  readonly bundle: string;
  /** The socket that events are sent to. */
  readonly eventSocket: string;
  readonly environment?: { readonly [name: string]: string };
  /** `containerd.runhcs.v1.Options`, encoded. */
  readonly runtimeOptions?: Uint8Array;
}

export class ShimClient {
  /** Calls a method of the shim's services; rejects with a TtrpcError that carries the status. */
  readonly call: TtrpcClient["call"];
  /** Resolves when the shim has closed the connection. */
  readonly closed: Promise<unknown>;
  readonly #identity: ShimIdentity;
  readonly #client: TtrpcClient;

  private constructor(identity: ShimIdentity, client: TtrpcClient) {
    this.#identity = identity;
    this.#client = client;
    this.call = client.call.bind(client) as TtrpcClient["call"];
    this.closed = client.closed;
  }

  /**
   * Starts a shim and connects to it, in the dialect of containerd 2.3 and later: parameters and answer are protobuf
   * messages. The older dialects are what the containerd suite covers.
   */
  static async start(identity: ShimIdentity, signal?: AbortSignal): Promise<ShimClient> {
    const { id: instanceId, namespace, eventSocket, runtimeOptions: value } = identity;
    const input = BootstrapParams.encode({
      instanceId,
      namespace,
      logLevel: LogLevel.LOG_LEVEL_DEBUG,
      containerdTtrpcAddress: eventSocket,
      containerdGrpcAddress: eventSocket,
      ...(value && { extensions: [{ value: { type_url: "containerd.runhcs.v1.Options", value } }] }),
    }).finish();
    const result = await run(identity, ["start"], { input, ...(signal && { signal }) });
    if (result.status !== 0 || result.stderr !== "") throw new Error(describe(result));
    const { address, protocol, version } = BootstrapResult.decode(result.stdout);
    if (protocol !== "ttrpc" || version !== 3 || !address.startsWith("unix://")) {
      throw new Error(`the shim answers at ${address} by ${protocol}, version ${version}; expected ttrpc 3 on unix://`);
    }
    return await ShimClient.connect(identity, address.slice("unix://".length));
  }

  static async connect(identity: ShimIdentity, socketPath: string): Promise<ShimClient> {
    const socket = connect(socketPath);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new ShimClient(identity, new TtrpcClient(socket));
  }

  /** Closes the connection and runs the shim's `delete`, as containerd always does at the end. */
  async delete(): Promise<void> {
    this.#client.close();
    await deleteShim(this.#identity);
  }
}

/** Runs a shim's `delete`: for a shim that has ended, or was killed. */
export async function deleteShim(identity: ShimIdentity): Promise<void> {
  const result = await run(identity, ["-bundle", identity.bundle, "delete"], { timeoutMs: DELETE_MS });
  if (result.status !== 0) throw new Error(describe(result));
}

function run(
  identity: ShimIdentity,
  action: readonly string[],
  options: { readonly input?: Uint8Array; readonly timeoutMs?: number; readonly signal?: AbortSignal },
): Promise<CommandResult> {
  const { executable, namespace, id, eventSocket, bundle, environment } = identity;
  const flags = ["-namespace", namespace, "-address", eventSocket, "-publish-binary", "/bin/true", "-id", id];
  return runCommand(executable, [...flags, ...action], {
    directory: bundle,
    environment: {
      ...process.env,
      ...environment,
      TTRPC_ADDRESS: eventSocket,
      GRPC_ADDRESS: eventSocket,
      NAMESPACE: namespace,
      MAX_SHIM_VERSION: "2",
    },
    ...options,
  });
}
