/**
 * A client of a shim, such as containerd is one: it runs the executable's `start` and `delete`, and calls the services
 * of the process that serves.
 */
import { connect } from "node:net";
import { containerd, google } from "@uvm-shim/shim/protocol";
import { type CommandOptions, type CommandResult, describe, runCommand } from "@uvm-shim/test-support/command";
import { TtrpcClient } from "@uvm-shim/ttrpc";

export const Task = containerd.task.v3.Task;
export const Sandbox = containerd.runtime.sandbox.v1.Sandbox;

const { Any } = google.protobuf;
const { BootstrapParams, BootstrapResult, LogLevel } = containerd.runtime.bootstrap.v1;
const optionsType = "containerd.runhcs.v1.Options";
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
  /** containerd's own socket, where it answers with its version; by default that of the events. */
  readonly containerdSocket?: string;
  /** What `start` is given, and how it answers: with parameters as of containerd 2.3, or with the options alone. */
  readonly dialect?: "parameters" | "options";
  /** What the parameters ask for: a containerd that is not debugged asks for `info`. */
  readonly logLevel?: "debug" | "info";
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

  /** Starts a shim and connects to it. */
  static async start(identity: ShimIdentity, signal?: AbortSignal): Promise<ShimClient> {
    const { address, version } = await startShim(identity, signal);
    if (version !== 3) throw new Error(`the shim answers with version ${version}; expected 3`);
    return await ShimClient.connect(identity, address);
  }

  /** @param address as `start` has answered. */
  static async connect(identity: ShimIdentity, address: string): Promise<ShimClient> {
    const socket = connect(address.replace(/^unix:\/\//, ""));
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new ShimClient(identity, new TtrpcClient(socket));
  }

  close(): void {
    this.#client.close();
  }

  /** Closes the connection and runs the shim's `delete`, as containerd always does at the end. */
  async delete(): Promise<void> {
    this.#client.close();
    await deleteShim(this.#identity);
  }
}

/** Where a shim serves, and the version of its services. */
export interface ShimAddress {
  readonly address: string;
  readonly version: number;
}

/** Runs a shim's `start`. The oldest dialect, that of containerd 1.6, is what the containerd suite covers. */
export async function startShim(identity: ShimIdentity, signal?: AbortSignal): Promise<ShimAddress> {
  const { dialect = "parameters" } = identity;
  const input = dialect === "options" ? optionsOf(identity) : parametersOf(identity);
  const result = await runShim(identity, ["start"], { input, ...(signal && { signal }) });
  if (result.status !== 0 || result.stderr !== "") throw new Error(describe(result));
  const answer: unknown =
    dialect === "options" ? JSON.parse(result.stdout.toString()) : BootstrapResult.decode(result.stdout);
  const { address, protocol, version } = answer as ShimAddress & { readonly protocol: string };
  if (protocol !== "ttrpc" || !address.startsWith(addressPrefix)) {
    throw new Error(`the shim answers at ${address} by ${protocol}; expected ttrpc on ${addressPrefix}`);
  }
  return { address, version };
}

const addressPrefix =
  process.platform === "win32" ? String.raw`\\.\pipe\ProtectedPrefix\Administrators\containerd-shim-` : "unix://";

function optionsOf({ runtimeOptions: value }: ShimIdentity): Uint8Array {
  return value === undefined ? new Uint8Array() : Any.encode({ type_url: optionsType, value }).finish();
}

function parametersOf(identity: ShimIdentity): Uint8Array {
  const { id: instanceId, namespace, eventSocket, runtimeOptions: value, logLevel = "debug" } = identity;
  return BootstrapParams.encode({
    instanceId,
    namespace,
    logLevel: logLevel === "debug" ? LogLevel.LOG_LEVEL_DEBUG : LogLevel.LOG_LEVEL_INFO,
    containerdTtrpcAddress: eventSocket,
    containerdGrpcAddress: containerdSocketOf(identity),
    ...(value && { extensions: [{ value: { type_url: optionsType, value } }] }),
  }).finish();
}

function containerdSocketOf({ containerdSocket, eventSocket }: ShimIdentity): string {
  return containerdSocket ?? eventSocket;
}

/** Runs a shim's `delete`: for a shim that has ended, or was killed. */
export async function deleteShim(identity: ShimIdentity): Promise<void> {
  const result = await runDelete(identity);
  if (result.status !== 0) throw new Error(describe(result));
}

export function runDelete(identity: ShimIdentity): Promise<CommandResult> {
  return runShim(identity, ["-bundle", identity.bundle, "delete"], { timeoutMs: DELETE_MS });
}

/** Runs the executable as containerd does. */
export function runShim(
  identity: ShimIdentity,
  action: readonly string[],
  options: Pick<CommandOptions, "input" | "timeoutMs" | "signal"> = {},
): Promise<CommandResult> {
  const { executable, namespace, id, eventSocket, bundle, environment } = identity;
  const address = containerdSocketOf(identity);
  const flags = ["-namespace", namespace, "-address", address, "-publish-binary", process.execPath, "-id", id];
  return runCommand(executable, [...flags, ...action], {
    directory: bundle,
    environment: {
      ...process.env,
      ...environment,
      TTRPC_ADDRESS: eventSocket,
      GRPC_ADDRESS: address,
      NAMESPACE: namespace,
      MAX_SHIM_VERSION: "2",
    },
    ...options,
  });
}
